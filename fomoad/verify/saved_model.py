"""What a zipped SavedModel must be like before TensorFlow reads it: a program whose operations only compute.

Numbers of fields: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto and
tensorflow/core/framework/{graph,function,node_def,attr_value}.proto.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from fomoad.errors import UserError
from fomoad.verify import archive
from fomoad.verify.protobuf import DamagedError, fields, messages, texts

PROGRAM: Final = "saved_model.pb"
_MEMBERS: Final = re.compile(
    r"(saved_model/)?(saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{5}-of-\d{5}))"
)
"""TensorFlow would take other files before these (saved_model.cpb) or run what they say (assets)."""

_META_GRAPHS = 2  # of SavedModel
_GRAPH, _ASSETS, _OBJECTS = 2, 6, 7  # of MetaGraphDef
_NODE, _LIBRARY = 1, 2  # of GraphDef
_FUNCTION = 1  # of FunctionDefLibrary
_SIGNATURE, _FUNCTION_NODE = 1, 3  # of FunctionDef
_OPERATION, _ATTRIBUTE = 2, 5  # of NodeDef
_VALUE, _LIST, _FUNCTION_VALUE, _FUNCTION_LIST, _NESTED = 2, 1, 10, 9, 2  # of attributes, their lists and functions
_OBJECT, _CONCRETE_FUNCTIONS = 1, 2  # of SavedObjectGraph
_HARMLESS_OBJECT_FIELDS: Final = frozenset({1, 4, 6, 8, 15})
"""Of SavedObject: children, a user's object, a function with and without inputs of choice, dependencies."""
_USER_OBJECT, _IDENTIFIER = 4, 1
_FUNCTION_OBJECTS, _FUNCTION_NAME = (6, 8), 1
_USER_OBJECTS: Final = frozenset({"_generic_user_object", "signature_map"})

CALLS: Final = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_OPERATIONS: Final = """
    Abs Add AddN AddV2 All Any ArgMax ArgMin Atan2 AvgPool BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd
    BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cumsum DepthToSpace
    DepthwiseConv2dNative DivNoNan Einsum Elu Equal Erf Exp ExpandDims FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd
    GatherV2 Greater GreaterEqual Identity IdentityN Inv LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd
    LogicalNot LogicalOr LogicalXor MatMul Max MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg NoOp NotEqual
    OneHot OnesLike Pack Pad PadV2 Placeholder Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape
    ResizeBilinear ResizeNearestNeighbor ReverseV2 Rint Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Size
    Slice Softmax Softplus SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Tanh Tile TopKV2 Transpose Unpack ZerosLike
"""
ALLOWED: Final = CALLS | frozenset(_OPERATIONS.split())
"""Operations that only compute outputs from inputs: no files, no network, no state, no code of others."""

_Function = tuple[frozenset[str], frozenset[str]]
"""The operations of a function, and the functions that it calls."""


def read(content: bytes, name: str) -> dict[str, bytes]:
    """Unpack a zipped SavedModel: its files by their paths. `name` is the archive's, for messages.

    Raises UserError where it is damaged, too large, or holds what no SavedModel of fomoad holds.
    """
    files = archive.read_members(content, name, _MEMBERS)
    if len([path for path in files if path.endswith(PROGRAM)]) != 1:
        raise UserError(f"{name} holds no SavedModel (no {PROGRAM} in it): give the file that training wrote.")
    return files


def check(content: bytes, name: str) -> None:
    """Check a zipped SavedModel.

    Raises UserError where it is damaged or contains anything but operations that compute.
    """
    [program] = [value for path, value in read(content, name).items() if path.endswith(PROGRAM)]
    try:
        graphs = list(messages(memoryview(program), _META_GRAPHS))
        if len(graphs) != 1:
            raise DamagedError(f"it holds {len(graphs)} graphs instead of one")
        _check_graph(graphs[0], name)
    except DamagedError as error:
        raise UserError(f"{name} holds a SavedModel that is damaged or cut off ({error}): get a new copy.") from error


def _check_graph(graph: memoryview, name: str) -> None:
    """Check what loading and calling can reach: the functions of the objects, and all that these call.

    TensorFlow adds functions that write and read variables' files. It calls them only where somebody saves a model.
    """
    if any(True for _ in messages(graph, _ASSETS)):
        raise _foreign(name, "files of its own (assets)")
    functions: dict[str, _Function] = {}
    for function, content in _functions(graph):
        if functions.setdefault(function, content) is not content:
            raise DamagedError(f"it holds two functions {function[:100]!r}")
    pending: set[str] = set()
    objects = list(messages(graph, _OBJECTS))
    if len(objects) != 1:
        raise DamagedError(f"it holds {len(objects)} lists of objects instead of one")
    for entry in messages(objects[0], _CONCRETE_FUNCTIONS):
        pending.update(texts(entry, 1))
    for part in messages(objects[0], _OBJECT):
        pending.update(_checked_object(part, name))
    seen: set[str] = set()
    while pending:
        function = pending.pop()
        if function in seen:
            continue
        seen.add(function)
        if function not in functions:
            raise DamagedError(f"its function {function[:100]!r} is missing")
        operations, called = functions[function]
        foreign = sorted(operations - ALLOWED - functions.keys())
        if foreign:
            raise _foreign(name, f"the operation '{foreign[0][:100]}'")
        pending |= called | (operations & functions.keys())


def _checked_object(part: memoryview, name: str) -> list[str]:
    """Check an object, and return the functions that it is made of."""
    functions = []
    for number, value in fields(part):
        if number not in _HARMLESS_OBJECT_FIELDS or isinstance(value, int):
            raise _foreign(name, "an object that is neither a function nor a constant (a variable, file or resource)")
        if number in _FUNCTION_OBJECTS:
            functions += texts(value, _FUNCTION_NAME)
        kinds = texts(value, _IDENTIFIER) if number == _USER_OBJECT else []
        unknown = [kind for kind in kinds if kind not in _USER_OBJECTS]
        if unknown:
            raise _foreign(name, f"an object of the kind '{unknown[0][:100]}'")
    return functions


def _functions(graph: memoryview) -> Iterator[tuple[str, _Function]]:
    for graph_def in messages(graph, _GRAPH):
        for library in messages(graph_def, _LIBRARY):
            for function in messages(library, _FUNCTION):
                names = [text for signature in messages(function, _SIGNATURE) for text in texts(signature, 1)]
                yield "".join(names[-1:]), _calls(messages(function, _FUNCTION_NODE))


def _calls(nodes: Iterable[memoryview]) -> _Function:
    operations: set[str] = set()
    called: set[str] = set()
    for node in nodes:
        operations.update(texts(node, _OPERATION) or [""])
        for attribute in messages(node, _ATTRIBUTE):
            for value in messages(attribute, _VALUE):
                called.update(_named_functions(value, depth=0))
    return frozenset(operations), frozenset(called)


def _named_functions(value: memoryview, depth: int) -> Iterator[str]:
    """The functions that an attribute's value names, alone, in a list, or in the attributes of another."""
    if depth > 20:
        raise DamagedError("its functions are nested too deeply")
    for number, part in fields(value):
        if isinstance(part, int) or number not in (_LIST, _FUNCTION_VALUE):
            continue
        for function in [part] if number == _FUNCTION_VALUE else messages(part, _FUNCTION_LIST):
            yield from texts(function, 1)
            for attribute in messages(function, _NESTED):
                for nested in messages(attribute, _VALUE):
                    yield from _named_functions(nested, depth + 1)


def _foreign(name: str, what: str) -> UserError:
    return UserError(
        f"{name} contains {what}, which fomoad never writes: a SavedModel is a program, and this one is not run, "
        "unless you know who made it and give --trust-model."
    )
