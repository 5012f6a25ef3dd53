"""What a fit learns from: folds of the images, moments of their features, and a sample of cells."""

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.features.store import Batch, Source
from fomoad.scorers.counted import Counted
from fomoad.scorers.standardisation import WHITENING, Moments, Scale, Standardisation, standardisation

Array = NDArray[np.float32]

FOLDS: Final = 5
"""Parts that the images are split into, for scores by a scorer that was not fitted on them."""
FOLDS_OF_FEW: Final = 10
FEW_SAMPLES: Final = 50
"""With fewer samples than this a fifth of them is missed, and held-out scores are too high: there are more folds."""
MAX_CELLS: Final = 6_000
"""The mixture is fitted, and the whitening found, on at most this many cells, chosen uniformly: more tell other images
no better apart."""


@dataclass(frozen=True)
class Cells:
    """Feature vectors (n, D), the position (n,) in the grid and the image (n,) that each was taken from."""

    features: Array
    positions: NDArray[np.int64]
    images: NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Moments of the features of each fold, and sampled cells of all; `fold_of` (N,) is the fold of each image."""

    fold_of: NDArray[np.int64]
    moments: list[Moments]
    cells: Cells

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return len(self.moments)

    def without(self, fold: int | None) -> tuple[Cells, list[Moments]]:
        """The cells and the moments of the images that are in any other fold; of all images for None."""
        if fold is None:
            return self.cells, self.moments
        others = self._cells(self.fold_of[self.cells.images] != fold)
        return others, self.moments[:fold] + self.moments[fold + 1 :]

    def only(self, fold: int) -> Cells:
        """The cells of the images of a fold."""
        return self._cells(self.fold_of[self.cells.images] == fold)

    def _cells(self, kept: NDArray[np.bool_]) -> Cells:
        return Cells(self.cells.features[kept], self.cells.positions[kept], self.cells.images[kept])


@dataclass(frozen=True)
class Drawn:
    """What is drawn from a shard: moments of its folds, and the feature vectors (n, D) of its cells.

    `folds` (f,) number them, `counts` (f,) are their images, `totals` and `squares` (f, rows, columns, D) their sums.
    """

    folds: NDArray[np.int64]
    counts: NDArray[np.int64]
    totals: NDArray[np.float64]
    squares: NDArray[np.float64]
    cells: Array


@dataclass(frozen=True)
class Draw:
    """Draws from shards: the cells at `positions` (n,) of `images` (n,), in their order, and moments.

    `fold_of` (N,) is the fold of each image.
    """

    fold_of: NDArray[np.int8]
    images: NDArray[np.int64]
    positions: NDArray[np.int64]

    def __call__(self, batches: Iterator[Batch]) -> Drawn:
        """What a shard gives."""
        moments: dict[int, Moments] = {}
        cells = []
        for rows, features in batches:
            fold_of = self.fold_of[rows]
            for fold in np.unique(fold_of).tolist():
                mine = Moments.of(features[fold_of == fold])
                moments[fold] = moments[fold] + mine if fold in moments else mine
            first, last = np.searchsorted(self.images, (rows.start, rows.stop))
            images, positions = self.images[first:last] - rows.start, self.positions[first:last]
            cells.append(features.reshape(len(features), -1, features.shape[-1])[images, positions])
        found = [moments[fold] for fold in moments]
        return Drawn(
            np.array(list(moments), np.int64),
            np.array([each.count for each in found], np.int64),
            np.stack([each.total for each in found]),
            np.stack([each.squares for each in found]),
            np.concatenate(cells),
        )


def draw(source: Source, sample_ids: Sequence[str], seed: int, counted: Counted | None = None) -> Sample:
    """Split the images into folds and read their features once: at most MAX_CELLS cells, as many from each image.

    Places that are not `counted` take no part; None: all do.
    """
    random = np.random.default_rng(seed)
    fold_of = assign_folds(sample_ids, fold_count(len(set(sample_ids))), seed)
    places = np.arange(math.prod(source.grid())) if counted is None else np.flatnonzero(counted.places)
    quota = _quota(len(source), len(places))
    positions = np.concatenate([random.permutation(places)[:take] for take in quota])
    images = np.arange(len(source)).repeat(quota)
    moments: dict[int, Moments] = {}
    cells = []
    for drawn in source.map(Draw(fold_of.astype(np.int8), images, positions), "Extracting features"):
        sums = zip(drawn.folds.tolist(), drawn.counts.tolist(), drawn.totals, drawn.squares, strict=True)
        for fold, count, total, squares in sums:
            mine = Moments(count, total, squares, None if counted is None else counted.places)
            moments[fold] = moments[fold] + mine if fold in moments else mine
        cells.append(drawn.cells)
    sampled = Cells(np.concatenate(cells), positions, images)
    return Sample(fold_of, [moments[fold] for fold in sorted(moments)], sampled)


def whiten(cells: Cells, moments: list[Moments], scale: Scale, rounded: bool = False) -> Standardisation:
    """The standardisation by the moments of some images, and the whitening by cells of them; `rounded` for int8.

    Features that are not scaled are not whitened either: distances are those of what the backbone gives. The bytes are
    the same on any number of processors where products are limited to one thread (threadpoolctl).
    """
    scaling = standardisation(functools.reduce(operator.add, moments), scale)
    found = scaling.whitened(cells.positions, cells.features, 0.0 if scale == "none" else WHITENING)
    return found.rounded(cells.positions, cells.features) if rounded else found


def scale_again(moments: list[Moments], scale: Scale, start: Standardisation) -> Standardisation:
    """The standardisation by the moments of like features, into the directions of `start`."""
    scaling = standardisation(functools.reduce(operator.add, moments), scale)
    return replace(scaling, whitening_matrix=start.whitening_matrix)


def fold_count(samples: int) -> int:
    """How many folds so many samples are split into at most."""
    return FOLDS_OF_FEW if samples < FEW_SAMPLES else FOLDS


def assign_folds(sample_ids: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """A fold number (n,) from 0 for each image; images of one sample share theirs."""
    ids, sample_of = np.unique(np.asarray(sample_ids), return_inverse=True)
    shuffled = np.random.RandomState(seed).permutation(len(ids))
    numbers = np.empty(len(ids), np.int64)
    for fold, samples in enumerate(np.array_split(shuffled, min(count, len(ids)))):
        numbers[samples] = fold
    return numbers[sample_of]


def number_samples(sample_ids: Sequence[str]) -> NDArray[np.int64]:
    """The number (N,) of the sample that each image shows.

    Raises UserError where there is only one: nothing could be held out.
    """
    _, numbers = np.unique(np.asarray(sample_ids), return_inverse=True)
    if numbers.max() == 0:
        raise UserError("All training images are of one sample: images of at least two good parts are needed.")
    samples: NDArray[np.int64] = numbers.astype(np.int64)
    return samples


def _quota(images: int, per_image: int) -> NDArray[np.int64]:
    """How many cells to take from each image (images,), so that MAX_CELLS are spread evenly over all of them."""
    total = min(MAX_CELLS, images * per_image)
    return np.diff(np.arange(images + 1) * total // images)
