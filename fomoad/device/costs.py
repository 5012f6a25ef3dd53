"""What a model costs to run, counted and estimated from its operations."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import BaseModel, Field

from fomoad.export.tflite_file import Operation

FORMULA: Final = (
    "milliseconds = 1000 / clock_hz * cycles. On a Cortex-M cycles = instructions * cycles an instruction, the "
    "instructions by kind of operation: so many a multiply-accumulate, an output value, an input value or a value of a "
    "window. On a Cortex-A53 cycles = sum over precisions of MACs * cycles a MAC + other output values * cycles a value"
)
HYBRID: Final = "hybrid"
"""The precision of an operation on floating-point values with integer weights, which are widened as it runs."""
COUNTED: Final = "counted on an emulator: TFLite Micro with CMSIS-NN of 2022, GCC 12 -O2"

Each = tuple[float, float, float]
"""On the Cortex-M4F, the Cortex-M7 and the Cortex-M55."""
NONE: Final[Each] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rate:
    """Instructions of a kind of operation for each multiply-accumulate, output value, value of the first input and
    value of a pooling window, and where they are known from."""

    basis: str
    mac: Each = NONE
    output: Each = NONE
    read: Each = NONE
    windowed: Each = NONE

    def instructions(self, operation: Operation, core: int) -> float:
        """Of one operation, on the core of this number."""
        outputs = sum(output.elements for output in operation.outputs)
        read = operation.inputs[0].elements if operation.inputs else 0
        return (
            self.mac[core] * macs(operation)
            + self.output[core] * outputs
            + self.read[core] * read
            + self.windowed[core] * outputs * operation.window
        )


def _all(value: float) -> Each:
    return value, value, value


_POOLING: Final[Each] = (47 / 12, 46 / 12, 31 / 12)
"""Of windows of 4 values 85 instructions an output were counted, of 16 values 132, 131 and 116."""
_INT8_PRODUCTS: Final = Rate(COUNTED, mac=(1.42, 1.42, 0.18), output=(37, 37, 16))
_INT8_WINDOWS: Final = Rate(f"{COUNTED}, for the 3 x 3 stem", mac=(4.9, 4.9, 1.6))
_FLOAT_PRODUCTS: Final = Rate(f"{COUNTED}, for 1 x 1", mac=(6.7, 5.8, 4.9))
_INT8_DEPTHWISE: Final = Rate(f"{COUNTED}, for 3 x 3", mac=(86 / 9, 86 / 9, 25 / 9))
_INT8_ADDITION: Final = Rate(COUNTED, output=(80, 81, 14))
_AVERAGES: Final = Rate(
    f"{COUNTED}, for windows of 2 x 2 and 4 x 4",
    output=(85 - 4 * _POOLING[0], 85 - 4 * _POOLING[1], 85 - 4 * _POOLING[2]),
    windowed=_POOLING,
)
_MAXIMA: Final = Rate("a guess: a tenth of a reduction", windowed=_all(13))
_EXPONENTIALS: Final = Rate(COUNTED, output=(60, 45, 45))
_FLOAT_LOOP: Final = Rate(COUNTED, output=_all(16))
_REDUCTIONS: Final = Rate(COUNTED, read=_all(130))
_NOTHING: Final = Rate("only the shape changes")
OTHER: Final = Rate("a guess: as a float MUL", output=_all(16))

RATES: Final[dict[tuple[str, str], Rate]] = {
    ("CONV_2D 1 x 1", "int8"): _INT8_PRODUCTS,
    ("CONV_2D", "int8"): _INT8_WINDOWS,
    ("FULLY_CONNECTED", "int8"): Rate("a guess: as a 1 x 1 convolution", _INT8_PRODUCTS.mac, _INT8_PRODUCTS.output),
    ("DEPTHWISE_CONV_2D", "int8"): _INT8_DEPTHWISE,
    ("ADD", "int8"): _INT8_ADDITION,
    ("MUL", "int8"): Rate("a guess: as an int8 ADD", output=_INT8_ADDITION.output),
    ("SUB", "int8"): Rate("a guess: as an int8 ADD", output=_INT8_ADDITION.output),
    ("QUANTIZE", "int8"): Rate(COUNTED, output=(40, 20, 17)),
    ("AVERAGE_POOL_2D", "int8"): _AVERAGES,
    ("MAX_POOL_2D", "int8"): _MAXIMA,
    ("RESIZE_BILINEAR", "int8"): Rate(COUNTED, output=_all(17)),
    ("CONV_2D 1 x 1", "float32"): _FLOAT_PRODUCTS,
    ("CONV_2D", "float32"): _FLOAT_PRODUCTS,
    ("DEPTHWISE_CONV_2D", "float32"): Rate("a guess: as a float 1 x 1 convolution", mac=_FLOAT_PRODUCTS.mac),
    ("FULLY_CONNECTED", "float32"): Rate("a guess: as a float 1 x 1 convolution", mac=_FLOAT_PRODUCTS.mac),
    ("DEQUANTIZE", "float32"): Rate(f"{COUNTED}, in whole models on M7 and M55", output=(90, 11.7, 7.8)),
    ("EXP", "float32"): _EXPONENTIALS,
    ("LOG", "float32"): Rate("a guess: as EXP", output=_EXPONENTIALS.output),
    ("SQUARE", "float32"): Rate(COUNTED, output=(5, 5, 4)),
    ("MUL", "float32"): _FLOAT_LOOP,
    ("ADD", "float32"): _FLOAT_LOOP,
    ("SUB", "float32"): Rate(f"{COUNTED} on M4F, where shapes differ", output=_all(67)),
    ("RESIZE_BILINEAR", "float32"): Rate(COUNTED, output=_all(17)),
    ("AVERAGE_POOL_2D", "float32"): _AVERAGES,
    ("MAX_POOL_2D", "float32"): _MAXIMA,
    **{(name, "float32"): _REDUCTIONS for name in ("SUM", "REDUCE_MAX", "REDUCE_MIN", "MEAN")},
    **{(name, kind): _NOTHING for name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS") for kind in ("int8", "float32")},
}
"""By kind of operation and precision. One that is not listed takes what a float convolution does where it is made of
multiply-accumulates, else `OTHER`."""


class Core(BaseModel):
    """A processor core that latencies are estimated for."""

    core: str
    clock_hz: int
    basis: str = Field("", description="What the cycles are known from.")


class Latency(Core):
    """How long one image may take on a core: an estimate, not a measurement."""

    milliseconds: float
    estimate: bool = True
    instructions: dict[str, int] = Field(
        default={}, description="By kind of operation, the most costly first; empty where they are not known."
    )


CORTEX_M: Final = (
    (
        Core(core="Cortex-M4F", clock_hz=80_000_000,
             basis="two MLPerf Tiny models counted the same way, against their published runs"),
        1.45,
    ),
    (Core(core="Cortex-M7", clock_hz=216_000_000, basis="inferred: two instructions a cycle at best"), 0.85),
    (Core(core="Cortex-M55 with Helium", clock_hz=160_000_000, basis="a guess"), 1.2),
)  # fmt: skip
"""Cores with the cycles that an instruction takes, in the order of `Each`."""
CORTEX_A: Final = Core(
    core="Cortex-A53",
    clock_hz=1_400_000_000,
    basis="XNNPACK's README: MobileNetV2 1.0 in 79 ms on the four cores of a Raspberry Pi 3+, 1.5 cycles a float MAC; "
    "int8 below the 1.0 that ST measured on a Cortex-A7",
)
CYCLES_PER_MAC: Final = {"int8": 0.6, "float32": 1.5}
CYCLES_PER_ELEMENT: Final = 2.0


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


def kind(operation: Operation) -> str:
    """What an operation is called here: its name, and whether a convolution has windows of one cell."""
    pointwise = operation.name == "CONV_2D" and operation.inputs[1].shape[1:3] == (1, 1)
    return "CONV_2D 1 x 1" if pointwise else operation.name


def rate(operation: Operation) -> Rate:
    """What an operation takes. Widened integer weights take what float ones do."""
    found = RATES.get((kind(operation), precision(operation).replace(HYBRID, "float32")))
    return found or (_FLOAT_PRODUCTS if macs(operation) else OTHER)


def latencies(operations: Iterable[Operation]) -> list[Latency]:
    """Estimate how long one image takes on a few common cores, by `FORMULA`."""
    operations = list(operations)
    return [_on_cortex_m(operations, number) for number in range(len(CORTEX_M))] + [_on_cortex_a(operations)]


def _on_cortex_m(operations: list[Operation], number: int) -> Latency:
    core, cycles_per_instruction = CORTEX_M[number]
    counts: Counter[str] = Counter()
    for operation in operations:
        counts[f"{kind(operation)}, {precision(operation)}"] += round(rate(operation).instructions(operation, number))
    milliseconds = 1000 * counts.total() * cycles_per_instruction / core.clock_hz
    basis = f"{cycles_per_instruction} cycles an instruction: {core.basis}"
    values = core.model_dump() | {"basis": basis}
    return Latency(**values, milliseconds=round(milliseconds, 3), instructions=dict(counts.most_common()))


def _on_cortex_a(operations: list[Operation]) -> Latency:
    cycles = CYCLES_PER_ELEMENT * elements_without_macs(operations)
    for name, count in macs_by_precision(operations).items():
        cycles += count * CYCLES_PER_MAC.get(name, CYCLES_PER_MAC["float32"])
    return Latency(**CORTEX_A.model_dump(), milliseconds=round(1000 * cycles / CORTEX_A.clock_hz, 3))


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
