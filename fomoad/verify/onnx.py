"""What an .onnx file must be like before ONNX Runtime reads it: one plain graph, and all data in the file itself.

Numbers of fields: onnx/onnx.proto.
"""

from typing import Final

from fomoad.errors import UserError
from fomoad.verify.protobuf import DamagedError, fields, messages, texts

_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25  # of ModelProto
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15  # of GraphProto
_OPERATION, _ATTRIBUTE, _DOMAIN = 4, 5, 7  # of NodeProto
_TENSORS, _GRAPHS, _SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)  # of AttributeProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto
_ORT_FORMAT: Final = b"ORTM"
"""At byte 4 of a file in ONNX Runtime's own format, which this check cannot read."""

DOMAINS: Final = ("", "ai.onnx")
_OPERATIONS: Final = """
    Abs Add And ArgMax ArgMin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape
    Conv ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean Min Mod Mul Neg Not OneHot Or PRelu Pad Pow
    QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK Transpose Unsqueeze Where Xor
"""
ALLOWED: Final = frozenset(_OPERATIONS.split())
"""Operations that only compute outputs from inputs: no control flow, no state, no code of others."""


def check(content: bytes, name: str) -> None:
    """Check an ONNX model. `name` is the file's, for messages.

    Raises UserError for damage, data in other files, and operations that fomoad never writes.
    """
    if content[4:8] == _ORT_FORMAT:
        raise UserError(f"{name} is of ONNX Runtime's own format: give the .onnx file that training wrote.")
    try:
        graphs = [graph for number, graph in _parts(memoryview(content)) if number == _GRAPH]
        if not graphs:
            raise DamagedError("it holds no graph")
        for graph in graphs:
            _check_graph(graph, name)
    except DamagedError as error:
        raise UserError(f"{name} cannot be read as an ONNX model; it may be cut off or damaged ({error}).") from error


def _parts(message: memoryview) -> list[tuple[int, memoryview]]:
    """The fields of a message that are no numbers."""
    return [(number, value) for number, value in fields(message) if not isinstance(value, int)]


def _check_graph(graph: memoryview, name: str) -> None:
    for number, part in _parts(graph):
        if number == _NODE:
            _check_node(part, name)
        elif number == _INITIALIZER:
            _check_tensor(part, name)
        elif number == _SPARSE_INITIALIZER:
            raise _foreign(name, "a sparse constant")


def _check_node(node: memoryview, name: str) -> None:
    domains = [domain for domain in texts(node, _DOMAIN) if domain not in DOMAINS]
    operations = texts(node, _OPERATION)
    foreign = [operation for operation in operations if operation not in ALLOWED]
    if domains or foreign or not operations:
        raise _foreign(name, f"the operation '{'.'.join([*domains, *operations])[:100]}'")
    for attribute in messages(node, _ATTRIBUTE):
        for number, part in _parts(attribute):
            if number in _TENSORS:
                _check_tensor(part, name)
            elif number in (*_GRAPHS, *_SPARSE_TENSORS):
                raise _foreign(name, "a graph or a sparse constant within an operation")


def _check_tensor(tensor: memoryview, name: str) -> None:
    for number, value in fields(tensor):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise UserError(
                f"{name} keeps some of its data in other files, which could be any file of this machine: it is not "
                "read. Give a model that is one file."
            )


def _foreign(name: str, what: str) -> UserError:
    return UserError(
        f"{name} contains {what}, which fomoad never writes: it is not run, unless you know who made it and give "
        "--trust-model."
    )
