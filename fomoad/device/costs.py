"""What a model costs to run, counted and estimated from its operations."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from pydantic import BaseModel, Field

from fomoad.export.tflite_file import Operation

FORMULA: Final = (
    "milliseconds = 1000 / clock_hz * (sum over precisions of MACs * cycles_per_mac + "
    "elements * cycles_per_element), elements being the output values of the operations that have no MACs"
)
HYBRID: Final = "hybrid"
"""The precision of an operation on floating-point values with integer weights, which are widened as it runs."""


class Core(BaseModel):
    """A processor core and the cycles that work takes on it: whole models, with all overhead.

    Two figures are published ones. Cortex-M7, int8: ST's model zoo (STMicroelectronics/stm32ai-modelzoo,
    image_classification/mobilenetv2/README.md) has MobileNetV2 0.35 at 94.3 ms for 128 x 128 pixels and at 290.8 ms for
    224 x 224 on an STM32H747 at 400 MHz, which for 20 and 59 million multiply-accumulates is 1.9 and 2.0 cycles each.
    Cortex-A53, float32: XNNPACK's README has MobileNetV2 1.0 (300 million) at 79 ms on the four cores of a Raspberry Pi
    3+ at 1.4 GHz, 1.5 cycles each. Its int8 figure lies below the 1.0 that ST measured on a Cortex-A7, with a unit
    for vectors half as wide. The others are rules of thumb in proportion to these; TFLite Micro has no optimised
    floating-point convolutions, so a Cortex-M runs plain C there. Expect a factor of two either way.
    """

    core: str
    clock_hz: int
    cycles_per_mac: dict[str, float] = Field(description="By precision; one not listed counts as float32.")
    cycles_per_element: float


class Latency(Core):
    """How long one image may take on a core: an estimate, not a measurement."""

    milliseconds: float
    estimate: bool = True


CORES: Final = (
    Core(
        core="Cortex-M4F", clock_hz=80_000_000,
        cycles_per_mac={"int8": 4.0, "float32": 16.0}, cycles_per_element=20.0,
    ),
    Core(
        core="Cortex-M7", clock_hz=216_000_000,
        cycles_per_mac={"int8": 2.0, "float32": 8.0}, cycles_per_element=10.0,
    ),
    Core(
        core="Cortex-M55 with Helium", clock_hz=160_000_000,
        cycles_per_mac={"int8": 0.5, "float32": 8.0}, cycles_per_element=5.0,
    ),
    Core(
        core="Cortex-A53", clock_hz=1_400_000_000,
        cycles_per_mac={"int8": 0.6, "float32": 1.5}, cycles_per_element=2.0,
    ),
)  # fmt: skip


def macs(operation: Operation) -> int:
    """Multiply-accumulates of one operation; 0 for one that is not made of them (activations, sums, copies)."""
    count = _COUNTS.get(operation.name)
    return count(operation) if count else 0


def precision(operation: Operation) -> str:
    """The element type that an operation computes in, or `hybrid`."""
    dtype = operation.outputs[0].dtype
    weights = operation.inputs[1].dtype if macs(operation) else dtype
    return HYBRID if dtype == "float32" and weights in ("int8", "int4") else dtype


def macs_by_precision(operations: Iterable[Operation]) -> dict[str, int]:
    """Multiply-accumulates of a whole model, by the precision that they run in."""
    counts: Counter[str] = Counter()
    for operation in operations:
        counts[precision(operation)] += macs(operation)
    return {name: count for name, count in counts.items() if count}


def elements_without_macs(operations: Iterable[Operation]) -> int:
    """Values that the other operations write, by which their cost is estimated."""
    return sum(output.elements for operation in operations if not macs(operation) for output in operation.outputs)


def latencies(macs_of: Mapping[str, int], elements: int) -> list[Latency]:
    """Estimate how long one image takes on a few common cores, by `FORMULA`."""
    return [_latency(core, macs_of, elements) for core in CORES]


def _latency(core: Core, macs_of: Mapping[str, int], elements: int) -> Latency:
    widest = core.cycles_per_mac["float32"]
    cycles = sum(count * core.cycles_per_mac.get(name, widest) for name, count in macs_of.items())
    cycles += elements * core.cycles_per_element
    return Latency(**core.model_dump(), milliseconds=round(1000 * cycles / core.clock_hz, 3))


def _convolution(operation: Operation) -> int:
    """Kernel is (outputs, height, width, inputs of one group)."""
    return operation.outputs[0].elements * int(np.prod(operation.inputs[1].shape[1:]))


def _depthwise(operation: Operation) -> int:
    """Kernel is (1, height, width, outputs)."""
    return operation.outputs[0].elements * int(np.prod(operation.inputs[1].shape[1:3]))


def _transposed(operation: Operation) -> int:
    """Inputs are output shape, kernel (outputs, height, width, inputs), values: each value meets a whole kernel."""
    kernel, values = operation.inputs[1:3]
    return values.elements * int(np.prod(kernel.shape[:3]))


def _fully_connected(operation: Operation) -> int:
    """Weights are (outputs, inputs)."""
    return operation.outputs[0].elements * operation.inputs[1].shape[1]


def _matrix_product(operation: Operation) -> int:
    """(..., rows, inner) times (..., inner, columns), either possibly transposed: rows * inner over rows * columns."""
    left, right = (tensor.shape for tensor in operation.inputs[:2])
    rows, columns = operation.outputs[0].shape[-2:]
    inner = round((np.prod(left[-2:]) * np.prod(right[-2:]) / (rows * columns)) ** 0.5)
    return operation.outputs[0].elements * inner


_COUNTS: Final[dict[str, Callable[[Operation], int]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matrix_product,
}
