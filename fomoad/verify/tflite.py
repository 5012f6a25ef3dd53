"""What a .tflite file must be like before a runtime, which trusts it, reads it."""

from typing import Any, Final

import numpy as np

from fomoad.errors import UserError
from fomoad.verify.flatbuffer import DamagedError, Reader
from fomoad.verify.tflite_schema import (
    ALLOWED,
    BITS,
    CUSTOM,
    INTEGER_RANGES,
    LAYOUTS,
    OPTIONS_LAYOUT,
    builtin_code,
)

FILE_IDENTIFIER: Final = b"TFL3"
_VERSION: Final = 3
_MOST_BYTES: Final = 2**31 - 1
"""That all tensors of a model may take together. Runtimes count a tensor's bytes in 32 bits here and there."""


def check_structure(content: bytes, name: str) -> None:
    """Check that every offset, index, shape and scale of a TFLite model holds. `name` is the file's, for messages.

    Raises UserError where something leads outside, contradicts itself, or is of a kind that is never written here.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise UserError(f"{name} is not a TFLite model: its content is of another kind or damaged.")
    try:
        reader = Reader(content, LAYOUTS)
        _check_model(reader, reader.root("Model"))
    except DamagedError as error:
        raise UserError(f"{name} is a TFLite model that is damaged or cut off ({error}): get a new copy.") from error


def check_operations(content: bytes, name: str) -> None:
    """Check that a model of sound structure consists of operations that only compute.

    Raises UserError that names the first one that does not.
    """
    for code in Reader(content, LAYOUTS).root("Model").get("operator_codes", []):
        builtin = builtin_code(code)
        if builtin not in ALLOWED:
            own = code.get("custom_code", b"").decode(errors="replace")[:50]
            what = f"the custom operation '{own}'" if builtin == CUSTOM else f"the operation with TFLite code {builtin}"
            raise UserError(
                f"{name} contains {what}, which fomoad never writes: it is not run, unless you know who made it and "
                "give --trust-model."
            )


def _check_model(reader: Reader, model: dict[str, Any]) -> None:
    _need(model.get("version") == _VERSION, "its version is not 3")
    _need(not {"external_buffer_groups", "external_buffers"} & model.keys(), "it refers to other files")
    buffers = model.get("buffers", [])
    for buffer in buffers:
        _need(buffer.get("offset", 0) <= 1 and buffer.get("size", 0) <= 1, "it keeps data behind its end")
    for entry in model.get("metadata", []):
        _need("name" in entry and entry.get("buffer", 0) < len(buffers), "its metadata lead nowhere")
    _need(_within(model.get("metadata_buffer"), 0, len(buffers)), "its metadata lead nowhere")
    for code in model.get("operator_codes", []):
        _need(builtin_code(code) >= 0, "an operation has a negative number")
        _need(builtin_code(code) != CUSTOM or "custom_code" in code, "a custom operation has no name")
    graphs = model.get("subgraphs", [])
    _need(len(graphs) == 1, f"it holds {len(graphs)} graphs instead of one")
    _check_graph(reader, graphs[0], buffers, len(model.get("operator_codes", [])))
    for signature in model.get("signature_defs", []):
        _need("signature_key" in signature and not signature.get("subgraph_index", 0), "a signature leads nowhere")
        for entry in (*signature.get("inputs", []), *signature.get("outputs", [])):
            known = entry.get("tensor_index", 0) < len(graphs[0].get("tensors", []))
            _need("name" in entry and known, "a signature leads nowhere")


def _check_graph(reader: Reader, graph: dict[str, Any], buffers: list[dict[str, Any]], codes: int) -> None:
    tensors, operators = graph.get("tensors", []), graph.get("operators", [])
    sizes = [_checked_bytes(tensor, buffers, number) for number, tensor in enumerate(tensors)]
    _need(sum(sizes) <= _MOST_BYTES, f"its tensors take {sum(sizes) / 2**20:,.0f} MiB")
    for key in ("inputs", "outputs"):
        _need(_within(graph.get(key), 0, len(tensors)), f"its {key} are no tensors of it")
    _need(len(operators) > 0, "it has no operation")
    ready = {int(index) for index in graph.get("inputs", [])}
    ready |= {number for number, tensor in enumerate(tensors) if _data(tensor, buffers) is not None}
    for number, operator in enumerate(operators):
        where = f"operation {number}"
        _need(operator.get("opcode_index", 0) < codes, f"{where} is of no known kind")
        for key, lowest in (("inputs", -1), ("outputs", 0), ("intermediates", 0)):
            _need(_within(operator.get(key), lowest, len(tensors)), f"the {key} of {where} are no tensors")
        inputs = {int(index) for index in operator.get("inputs", []) if index >= 0}
        outputs = [int(index) for index in operator.get("outputs", [])]
        _need(len(inputs) > 0 and inputs <= ready, f"{where} reads what nothing has written")
        _need(len(outputs) > 0, f"{where} has no output")
        _need(ready.isdisjoint(outputs) and len(set(outputs)) == len(outputs), f"{where} writes over values")
        ready.update(outputs)
        _check_options(reader, operator, where)
    _need({int(index) for index in graph.get("outputs", [])} <= ready, "nothing writes its output")


def _check_options(reader: Reader, operator: dict[str, Any], where: str) -> None:
    _need(not operator.get("large_custom_options_size", 0), f"{where} keeps options behind the file's end")
    _need(not operator.get("options_2_type", 0), f"{where} has options of a newer format")
    kind = operator.get("options_type", 0)
    _need((kind in OPTIONS_LAYOUT and "options" in operator) or not kind, f"{where} has options of no known kind")
    if kind:
        reader.table(operator["options"], OPTIONS_LAYOUT[kind])


def _checked_bytes(tensor: dict[str, Any], buffers: list[dict[str, Any]], number: int) -> int:
    """Check one tensor and return how many bytes its values take."""
    where = f"tensor {number}"
    _need(not {"sparsity", "variant_tensors"} & tensor.keys(), f"{where} is sparse or a variant")
    _need(not tensor.get("external_buffer", 0), f"{where} refers to another file")
    _need(tensor.get("buffer", 0) < len(buffers), f"{where} has no buffer")
    shape = tensor.get("shape", np.zeros(0, np.int32))
    _need(bool((shape >= 0).all()) and len(shape) <= 8, f"{where} has the shape {shape.tolist()[:9]}")
    _check_quantization(tensor.get("quantization", {}), shape, tensor.get("type", 0), where)
    bits = BITS.get(tensor.get("type", 0), 0)
    _need(bits > 0, f"{where} is of no type of numbers")
    size = bits * int(np.prod(shape.astype(object))) + 7 >> 3
    data = _data(tensor, buffers)
    held = size if data is None else len(data)
    _need(held == size, f"{where} should hold {size} bytes, but holds {held}")
    return size


def _check_quantization(quantization: dict[str, Any], shape: Any, dtype: int, where: str) -> None:
    scales = quantization.get("scale", np.zeros(0, np.float32))
    zero_points = quantization.get("zero_point", np.zeros(0, np.int64))
    axis = quantization.get("quantized_dimension", 0)
    _need(not quantization.get("details_type", 0), f"{where} is quantised in no known way")
    _need(bool((np.isfinite(scales) & (scales > 0)).all()), f"{where} has a scale that is no positive number")
    if len(scales) > 1:
        _need(0 <= axis < len(shape) and len(scales) == shape[axis], f"{where} has {len(scales)} scales")
    _need(len(zero_points) in (0, 1, len(scales)), f"{where} has {len(zero_points)} zero points")
    if len(scales) and dtype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[dtype]
        within = bool(((zero_points >= low) & (zero_points <= high)).all())
        _need(within, f"{where} has a zero point that its type does not hold")


def _data(tensor: dict[str, Any], buffers: list[dict[str, Any]]) -> bytes | None:
    data = buffers[tensor.get("buffer", 0)].get("data")
    return None if data is None or not len(data) else data


def _within(indices: Any, low: int, end: int) -> bool:
    return indices is None or bool(((indices >= low) & (indices < end)).all())


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DamagedError(otherwise)
