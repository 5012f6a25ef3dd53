"""Features of like weight: each centred, and divided by its standard deviation over the training cells."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FLOOR: Final = 0.1
"""The smallest standard deviation that is divided by, as a share of the features' root mean variance.

A feature that hardly varies on good parts would else turn a rounding error into a distance.
"""


@dataclass(frozen=True)
class Standardisation:
    """x `gain` + `offset`, both (D,)."""

    gain: Array
    offset: Array

    def __call__(self, features: Array) -> Array:
        """Standardise features (..., D)."""
        return features * self.gain + self.offset


def standardisation(mean: NDArray[Any], deviation: NDArray[Any]) -> Standardisation:
    """The standardisation that belongs to features' mean (D,) and standard deviation (D,)."""
    floor = max(FLOOR * float(np.sqrt(np.mean(deviation**2))), 1e-12)
    gain = 1 / np.maximum(deviation, floor)
    return Standardisation(gain.astype(np.float32), (-mean * gain).astype(np.float32))
