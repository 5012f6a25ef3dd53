"""int8 values as float32 ones by CAST, in place of DEQUANTIZE: a quarter of the instructions on a small processor.

CAST gives an int8 tensor's codes as they are. Their scale and zero point go into constants that the graph has anyway,
so it reads codes: `fomoad.features.pooling` makes them of the backbone's outputs, and the graphs of scorers of their
own products. TensorFlow's converter has no way to ask for it.
"""

from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from fomoad.export.tflite_file import has_data, pack, unpack

_OPERATIONS: Final = schema.BuiltinOperator


def read_codes_by_cast(content: bytes) -> bytes:
    """Replace each DEQUANTIZE, division by the scale and addition of the zero point by the CAST that it amounts to."""
    model = unpack(content)
    graph = model.subgraphs[0]
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(int(index), []).append(operator)
    dropped: list[Any] = []
    for operator in graph.operators:
        chain = _code_chain(model, operator, readers)
        if chain:
            operator.opcodeIndex = _code_of(model, _OPERATIONS.CAST)
            operator.outputs = chain[-1].outputs
            dropped += chain
    graph.operators = [operator for operator in graph.operators if not any(operator is each for each in dropped)]
    _drop_unused(model)
    return pack(model)


def _code_chain(model: Any, operator: Any, readers: dict[int, list[Any]]) -> list[Any]:
    """The operators after a DEQUANTIZE that make codes of its output again, or none."""
    if _kind(model, operator) != _OPERATIONS.DEQUANTIZE:
        return []
    quantization = model.subgraphs[0].tensors[operator.inputs[0]].quantization
    wanted = [(_OPERATIONS.MUL, 1 / quantization.scale[0])]
    if quantization.zeroPoint[0]:
        wanted.append((_OPERATIONS.ADD, quantization.zeroPoint[0]))
    chain: list[Any] = []
    for kind, value in wanted:
        following = readers.get(int((chain or [operator])[-1].outputs[0]), [])
        if len(following) != 1 or not _is_by(model, following[0], kind, value):
            return []
        chain += following
    return chain


def _is_by(model: Any, operator: Any, kind: int, value: float) -> bool:
    """Whether an operator is of a kind and takes this one number besides its input."""
    if _kind(model, operator) != kind:
        return False
    constant = _values(model, operator.inputs[1])
    return constant.size == 1 and bool(np.isclose(constant[0], value, rtol=1e-5, atol=1e-5))


def _kind(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _values(model: Any, tensor: int) -> NDArray[np.float32]:
    """The float32 values of a constant, none of any other tensor."""
    found = model.subgraphs[0].tensors[tensor]
    buffer = model.buffers[found.buffer]
    if found.type != schema.TensorType.FLOAT32 or not has_data(buffer):
        return np.empty(0, np.float32)
    return np.asarray(buffer.data, np.uint8).view(np.float32)


def _code_of(model: Any, kind: int) -> int:
    """The position of an operation in the model's list, to which it is added if need be."""
    for position, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
            return position
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _drop_unused(model: Any) -> None:
    """Drop the tensors that no operator has any more, what their buffers hold, and operations that are not used.

    TFLite Micro gives memory to every tensor in the list.
    """
    graph = model.subgraphs[0]
    used = {int(i) for operator in graph.operators for i in (*operator.inputs, *operator.outputs) if i >= 0}
    kept = sorted(used | {int(i) for i in (*graph.inputs, *graph.outputs)})
    place = {index: position for position, index in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[index] for index in kept]
    for part in (graph, *graph.operators):
        part.inputs = [place[int(i)] for i in part.inputs]
        part.outputs = [place[int(i)] for i in part.outputs]
    for signature in model.signatureDefs or ():
        for tensor in (*signature.inputs, *signature.outputs):
            tensor.tensorIndex = place[tensor.tensorIndex]
    needed = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in needed:
            buffer.data = None
    kinds = sorted({operator.opcodeIndex for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[kind] for kind in kinds]
    for operator in graph.operators:
        operator.opcodeIndex = kinds.index(operator.opcodeIndex)
