"""Constants made of whole steps, so that an int8 model holds each value in a byte."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

STEPS: Final = 127
"""What int8 holds on either side of 0."""


def step_of(values: Array) -> float:
    """The size of the 127 steps to the value farthest from 0."""
    return max(float(np.abs(values).max()), float(np.finfo(np.float32).tiny)) / STEPS


def in_steps(values: Array) -> Array:
    """The values, each rounded to a whole number of steps."""
    step = step_of(values)
    rounded: Array = (np.round(values / step) * step).astype(np.float32)
    return rounded
