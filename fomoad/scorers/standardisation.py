"""Features of like weight: centred and scaled, then half whitened.

What is usual differs from position to position: at the borders, where padding shows, and wherever a part always has
an edge. PaDiM (Defard et al., ICPR 2021, section III-B) fits one Gaussian per position; here the positions share one
scoring function, and only the scale is theirs. Few images say little about a position, so its mean and variance are
drawn towards those of the whole image. Where parts turn or lie loosely a position says little, and one scale for the
whole image finds more, or features just as the backbone gives them.

Features that vary together would count many times over in a distance. Whitening (ZCA: Kessy, Lewin and Strimmer,
The American Statistician 2018) takes that away, but lifts noise in directions in which good parts hardly vary to
the same height; half of it, the fourth root of the inverse covariance in place of the square root, finds more
defects than none or all (docs/experiments/scorers.md).
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad.scorers.steps import SMALLEST, STEPS, Codes, in_steps

Array = NDArray[np.float32]
Scale = Literal["none", "global", "place"]
"""What a feature is divided by: what all features deviate by, its own deviation, or its own at each position."""

FLOOR: Final = 0.3
"""The smallest standard deviation that is divided by, as a share of the features' root mean variance.

A feature that hardly varies on good parts would else turn a rounding error into a distance.
"""
PRIOR_IMAGES: Final = 10
"""How many images the whole image's mean and variance count for, beside a position's own."""
WHITENING: Final = 0.5
"""How much of the features' correlation is taken away: 0 none, 1 all."""
DIRECTIONS: Final = 96
"""Directions of the largest variance that wide features keep: the rest costs flash and time, and finds nothing more."""
WHITENING_FLOOR: Final = 0.01
"""Added to the variances of all directions, in units of their mean: the smallest are not known well."""
MARGIN: Final = 2.0
"""int8 codes reach so many times as far as the training features: what defects look like lies outside of those."""


@dataclass(frozen=True)
class Moments:
    """Sums over `count` images: of features and of their squares, both (rows, columns, D).

    `places` (rows, columns) are those that count, None where all do.
    """

    count: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    places: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, features: Array, places: NDArray[np.bool_] | None = None) -> "Moments":
        """The sums of features (N, rows, columns, D)."""
        precise = features.astype(np.float64)
        return cls(len(features), precise.sum(axis=0), (precise**2).sum(axis=0), places)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares, self.places)


@dataclass(frozen=True)
class Rounding:
    """The int8 codes of scaled features, and those of whitened ones, both with 0 at code 0."""

    scaled: Codes
    whitened: Codes


@dataclass(frozen=True)
class Standardisation:
    """(x `gain` + `offset`) `whitening_matrix`.

    `gain` and `offset` are (rows, columns, D), `whitening_matrix` is (D, d). With `rounding`, features are rounded
    before and after the product, as an int8 convolution does, and so is whatever a scorer multiplies them with.
    """

    gain: Array
    offset: Array
    whitening_matrix: Array
    rounding: Rounding | None = None

    @property
    def positions(self) -> int:
        """How many positions an image has."""
        return self.gain[..., 0].size

    def __call__(self, features: Array) -> Array:
        """Standardise features (..., rows, columns, D)."""
        return self._whiten(features * self.gain + self.offset)

    def at(self, positions: NDArray[np.int64], features: Array) -> Array:
        """Standardise features (n, D) that were taken at `positions` (n,), counted row by row."""
        return self._whiten(self._scaled_at(positions, features))

    @property
    def dimensions(self) -> int:
        """How many features d there are after standardisation."""
        return len(self.whitening_matrix.T)

    def of_codes(self, scale: Array, zero: Array) -> "Standardisation":
        """The same of codes (..., D) in place of the features `scale` * (code - `zero`), both (D,)."""
        return replace(self, gain=self.gain * scale, offset=self.offset - self.gain * scale * zero)

    def rounded(self, positions: NDArray[np.int64], features: Array) -> "Standardisation":
        """What int8 makes of it: the `whitening_matrix` in whole steps, and `rounding`.

        Codes reach MARGIN times as far as the training features (n, D) from `positions` (n,).
        """
        matrix = in_steps(self.whitening_matrix)
        scaled = self._scaled_at(positions, features)
        before = _codes_around(scaled)
        after = _codes_around(before.rounded(scaled) @ matrix)
        return replace(self, whitening_matrix=matrix, rounding=Rounding(before, after))

    def whitened(self, positions: NDArray[np.int64], features: Array, power: float = WHITENING) -> "Standardisation":
        """The standardisation that scales like this one, then whitens by features (n, D) from `positions` (n,).

        Of more than DIRECTIONS features, the directions of the largest variance are kept.
        """
        scaled = self._scaled_at(positions, features).astype(np.float64)
        centred = scaled - scaled.mean(axis=0)
        covariance = centred.T @ centred / len(centred)
        variances, directions = np.linalg.eigh(covariance)
        variances = np.maximum(variances, 0) / max(float(variances.mean()), 1e-12) + WHITENING_FLOOR
        whitening_matrix = directions * variances ** (-power / 2)
        if len(variances) > DIRECTIONS:
            whitening_matrix = whitening_matrix[:, -DIRECTIONS:] @ _rotation(DIRECTIONS)
        else:
            whitening_matrix = whitening_matrix @ directions.T
        return replace(self, whitening_matrix=whitening_matrix.astype(np.float32))

    def _whiten(self, scaled: Array) -> Array:
        whitened: Array
        if self.rounding is None:
            whitened = scaled @ self.whitening_matrix
        else:
            whitened = self.rounding.whitened.rounded(self.rounding.scaled.rounded(scaled) @ self.whitening_matrix)
        return whitened

    def _scaled_at(self, positions: NDArray[np.int64], features: Array) -> Array:
        dimensions = features.shape[-1]
        gain, offset = self.gain.reshape(-1, dimensions), self.offset.reshape(-1, dimensions)
        scaled: Array = features * gain[positions] + offset[positions]
        return scaled


def standardisation(moments: Moments, scale: Scale = "place") -> Standardisation:
    """The standardisation of features with these moments: scaled, not whitened. Places that do not count become 0.

    >>> features = np.random.default_rng(0).normal(5, 2, (20, 3, 3, 4)).astype(np.float32)
    >>> scaled = standardisation(Moments.of(features), "global")(features)
    >>> bool(np.allclose(scaled.std(axis=(0, 1, 2)), 1, atol=1e-3))
    True
    """
    weight = moments.count / (moments.count + PRIOR_IMAGES) if scale == "place" else 0.0
    mean = moments.total / moments.count
    places = moments.places
    centre = _blend(weight, mean, places)
    variance = np.maximum(moments.squares / moments.count - mean**2, 0)
    deviation = np.sqrt(_blend(weight, variance + (mean - centre) ** 2, places))
    usual = float(np.sqrt(np.mean((deviation if places is None else deviation[places]) ** 2)))
    if scale == "none":
        deviation = np.full_like(deviation, usual)
    gain = 1 / np.maximum(deviation, max(FLOOR * usual, 1e-12))
    if places is not None:
        gain *= places[..., None]
    unwhitened = np.eye(gain.shape[-1], dtype=np.float32)
    return Standardisation(gain.astype(np.float32), (-centre * gain).astype(np.float32), unwhitened)


def _codes_around(values: Array) -> Codes:
    """Codes that reach MARGIN times as far as these values on either side of 0."""
    return Codes(max(MARGIN * float(np.abs(values).max()) / STEPS, SMALLEST))


def _rotation(side: int) -> NDArray[np.float64]:
    """A rotation (side, side) drawn at random: it spreads all directions evenly, so that int8 steps suit all alike."""
    drawn = np.random.default_rng(side).standard_normal((side, side))
    rotation: NDArray[np.float64] = np.linalg.qr(drawn)[0]
    return rotation


def _blend(weight: float, local: NDArray[Any], places: NDArray[np.bool_] | None) -> NDArray[Any]:
    """A position's values (rows, columns, D) with `weight`, those of all places that count with the rest."""
    whole = local.mean(axis=(0, 1)) if places is None else local[places].mean(axis=0)
    blended: NDArray[Any] = weight * local + (1 - weight) * whole
    return blended
