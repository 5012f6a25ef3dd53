"""Features of like weight: each centred and divided by its standard deviation at its place in the image.

What is usual differs from place to place: at the borders, where padding shows, and wherever a part always has an
edge. PaDiM (Defard et al., ICPR 2021, section III-B) fits one Gaussian per place; here the places share one scoring
function, and only the scale is theirs. Few images say little about a place, so its mean and variance are drawn
towards those of the whole image.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FLOOR: Final = 0.1
"""The smallest standard deviation that is divided by, as a share of the features' root mean variance.

A feature that hardly varies on good parts would else turn a rounding error into a distance.
"""
PRIOR_IMAGES: Final = 10
"""How many images the whole image's mean and variance count for, beside a place's own."""


@dataclass(frozen=True)
class Moments:
    """Sums over `count` images: of features and of their squares, both (rows, columns, D)."""

    count: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, features: Array) -> "Moments":
        """The sums of features (N, rows, columns, D)."""
        precise = features.astype(np.float64)
        return cls(len(features), precise.sum(axis=0), (precise**2).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True)
class Standardisation:
    """x `gain` + `offset`, both (rows, columns, D)."""

    gain: Array
    offset: Array

    def __call__(self, features: Array) -> Array:
        """Standardise features (..., rows, columns, D)."""
        return features * self.gain + self.offset

    def at(self, places: NDArray[np.int64], features: Array) -> Array:
        """Standardise features (n, D) that were taken at `places` (n,), counted row by row."""
        dimensions = features.shape[-1]
        gain, offset = self.gain.reshape(-1, dimensions), self.offset.reshape(-1, dimensions)
        scaled: Array = features * gain[places] + offset[places]
        return scaled


def standardisation(moments: Moments) -> Standardisation:
    """The standardisation of features with these moments."""
    weight = moments.count / (moments.count + PRIOR_IMAGES)
    mean = moments.total / moments.count
    centre = _blend(weight, mean)
    variance = np.maximum(moments.squares / moments.count - mean**2, 0)
    deviation = np.sqrt(_blend(weight, variance + (mean - centre) ** 2))
    floor = max(FLOOR * float(np.sqrt(np.mean(deviation**2))), 1e-12)
    gain = 1 / np.maximum(deviation, floor)
    return Standardisation(gain.astype(np.float32), (-centre * gain).astype(np.float32))


def _blend(weight: float, local: NDArray[Any]) -> NDArray[Any]:
    """A place's values (rows, columns, D) with `weight`, those of the whole image with the rest."""
    blended: NDArray[Any] = weight * local + (1 - weight) * local.mean(axis=(0, 1))
    return blended
