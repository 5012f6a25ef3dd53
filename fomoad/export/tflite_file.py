"""What stands in a .tflite file: its operations and tensors, read and rewritten without TensorFlow."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fomoad.errors import UserError
from fomoad.verify.tflite import FILE_IDENTIFIER, check_structure

_SCHEMA_VERSION: Final = 3
_BITS: Final = {
    "int4": 4, "int8": 8, "uint8": 8, "bool": 8, "int16": 16, "uint16": 16, "float16": 16,
    "int32": 32, "uint32": 32, "float32": 32, "int64": 64, "uint64": 64, "float64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape, element type, and whether the file holds its values (weights, biases, axes)."""

    shape: tuple[int, ...]
    dtype: str
    constant: bool

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """How much memory its values take."""
        return (self.elements * _BITS.get(self.dtype, 32) + 7) // 8


@dataclass(frozen=True)
class Operation:
    """One step of the model, under TFLite's name for it. An optional input that is left out is missing here."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    window: int = 1
    """Values of the window that a pooling takes each output from."""


def read_content(path: Path) -> bytes:
    """Read a file that must be a TFLite model, of any operations.

    Raises UserError where there is none, it is something else, or it is damaged.
    """
    if not path.is_file():
        raise UserError(f"The model {path} does not exist: give a .tflite file.")
    content = path.read_bytes()
    check_structure(content, str(path))
    return content


def operations(content: bytes) -> list[Operation]:
    """List the main graph's operations in the order in which they run."""
    model = unpack(content)
    graph = model.subgraphs[0]
    tensors = [_tensor(tensor, model) for tensor in graph.tensors]
    return [
        Operation(
            _operation_name(model.operatorCodes[operator.opcodeIndex]),
            tuple(tensors[i] for i in operator.inputs if i >= 0),
            tuple(tensors[i] for i in operator.outputs),
            _window(operator.builtinOptions),
        )
        for operator in graph.operators
    ]


def inputs(content: bytes) -> list[Tensor]:
    """List what the main graph is fed with."""
    model = unpack(content)
    return [_tensor(model.subgraphs[0].tensors[index], model) for index in model.subgraphs[0].inputs]


def single_operation_models(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut a model into models of one operation each: (operation name, file content).

    Operations of the same kind with inputs and outputs of the same types come once. Constants stay constants, so
    that a runtime meets each operation as it is in the whole model.
    """
    model = unpack(content)
    seen = set()
    for operator in model.subgraphs[0].operators:
        used = [model.subgraphs[0].tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
        kind = (operator.opcodeIndex, tuple(tensor.type for tensor in used))
        if kind not in seen:
            seen.add(kind)
            name = _operation_name(model.operatorCodes[operator.opcodeIndex])
            yield name, pack(_cut_out(model, operator))


def unpack(content: bytes) -> Any:
    """The model in a file as objects of TFLite's schema, to be rewritten."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(model: Any) -> bytes:
    """The file of a model that `unpack` gave."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _window(options: Any) -> int:
    return int(options.filterHeight * options.filterWidth) if isinstance(options, schema.Pool2DOptionsT) else 1


def _tensor(tensor: Any, model: Any) -> Tensor:
    shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
    return Tensor(shape, _NAMES_OF_TYPES[tensor.type], has_data(model.buffers[tensor.buffer]))


def has_data(buffer: Any) -> bool:
    """Whether the file holds the values that lie in a buffer."""
    return buffer.data is not None and len(buffer.data) > 0


def _operation_name(code: Any) -> str:
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # the old field ends at 127, the new one may be unset
    if builtin == schema.BuiltinOperator.CUSTOM:
        return str(code.customCode.decode(errors="replace"))
    return _NAMES_OF_OPERATIONS.get(builtin, f"operation {builtin}")


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


_NAMES_OF_OPERATIONS: Final = _names(schema.BuiltinOperator)
_NAMES_OF_TYPES: Final = {value: name.lower() for value, name in _names(schema.TensorType).items()}


def _cut_out(model: Any, operator: Any) -> Any:
    """A model of this operator alone, whose inputs are the operator's inputs that are no constants."""
    original = model.subgraphs[0]
    kept = sorted({int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0})
    place = {index: position for position, index in enumerate(kept)} | {-1: -1}
    alone = copy.copy(operator)
    alone.opcodeIndex = 0
    alone.inputs = [place[int(i)] for i in operator.inputs]
    alone.outputs = [place[int(i)] for i in operator.outputs]
    cut = schema.ModelT()
    cut.version = _SCHEMA_VERSION
    cut.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    cut.buffers = [schema.BufferT()]  # buffer 0 stands for "no data" by the format's rules
    graph = schema.SubGraphT()
    graph.tensors = []
    for index in kept:
        tensor = copy.copy(original.tensors[index])
        buffer = model.buffers[tensor.buffer]
        tensor.buffer = len(cut.buffers) if has_data(buffer) else 0
        if has_data(buffer):
            cut.buffers.append(buffer)
        graph.tensors.append(tensor)
    graph.operators = [alone]
    fed = [int(i) for i in operator.inputs if i >= 0 and not has_data(model.buffers[original.tensors[i].buffer])]
    graph.inputs = [place[i] for i in dict.fromkeys(fed)]
    graph.outputs = alone.outputs
    cut.subgraphs = [graph]
    return cut
