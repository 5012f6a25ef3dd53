"""What int8 makes of values: constants made of whole steps, and tensors rounded to codes."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

STEPS: Final = 127
"""What int8 holds on either side of 0."""
LOWEST: Final = -128
SMALLEST: Final = 1e-6
"""No step is smaller: values that are all 0 need one, too."""


@dataclass(frozen=True)
class Codes:
    """The int8 codes of a tensor: value = `step` * (code - `zero`), so that 0 has a code."""

    step: float
    zero: int = 0

    @classmethod
    def between(cls, low: float, high: float) -> "Codes":
        """Codes whose values reach from `low`, 0 or less, to `high`, 0 or more, give or take half a step.

        >>> codes = Codes.between(-1, 4.1)
        >>> [codes.low, codes.high] == [-50 * codes.step, 205 * codes.step]
        True
        """
        step = max((high - low) / (STEPS - LOWEST), SMALLEST)
        return cls(step, LOWEST - round(low / step))

    @property
    def low(self) -> float:
        """The lowest value that has a code."""
        return self.step * (LOWEST - self.zero)

    @property
    def high(self) -> float:
        """The highest one."""
        return self.step * (STEPS - self.zero)

    def rounded(self, values: NDArray[Any]) -> Array:
        """The values that have a code, each the nearest to one of these."""
        steps = np.clip(np.round(values / self.step), LOWEST - self.zero, STEPS - self.zero)
        found: Array = (steps * self.step).astype(np.float32)
        return found


def step_of(values: Array) -> float:
    """The size of the 127 steps to the value farthest from 0."""
    return max(float(np.abs(values).max()), float(np.finfo(np.float32).tiny)) / STEPS


def in_steps(values: Array) -> Array:
    """The values, each rounded to a whole number of steps."""
    step = step_of(values)
    rounded: Array = (np.round(values / step) * step).astype(np.float32)
    return rounded
