"""PatchCore: the distance of a patch to the nearest of a memory bank of normal patches.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: a patch's score is its distance to
the bank (eq. 6), the bank a greedy k-center coreset of the training patches (algorithm 1).
"""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fomoad.coreset.neighbourhoods import FEW, Neighbourhoods
from fomoad.geometry import CellGeometry
from fomoad.scorers.counted import Counted, at_places
from fomoad.scorers.standardisation import Standardisation
from fomoad.scorers.steps import Codes, in_steps

if TYPE_CHECKING:
    import tensorflow as tf

Array = NDArray[np.float32]

TILE_ROWS: Final = 256
TILE_ENTRIES: Final = 1024
"""In NumPy, distances are computed in tiles of so many patches and entries, which stay in the cache."""
LIKELIEST: Final = 4
"""Patches of an image that are scored first, those of the highest bounds; then as many again, and so on."""
EVERY: Final = slice(None)
LOW_SHARE: Final = 1 / 4
HIGH_SHARE: Final = 5 / 4
"""int8 codes of closeness reach so far below and above 0, in units of the highest of the bank's own entries.

A patch that is close to entries beyond that is far from all of them: it is longer than any.
"""


@dataclass(frozen=True)
class PatchCoreScorer:
    """A memory bank. A patch's score is the mean Euclidean distance of its standardised features to the `k` nearest.

    A patch is `window` x `window` cells large, and a cell's score the highest of those of the patches that it is in:
    R x C patches score R + window - 1 by C + window - 1 cells. `bank` (M, D) holds standardised features; `samples`
    (M,) numbers the training sample that each entry was taken from. Standardised features are centred, which keeps
    the products that distances are made of small and so exact. What is not `counted` scores 0; None: everything is.
    Where the standardisation rounds for int8, so does the product with the bank, which is in whole steps.
    """

    standardise: Standardisation
    bank: Array
    samples: NDArray[np.int64]
    k: int
    window: int = 1
    counted: Counted | None = None

    @property
    def size(self) -> int:
        """How many entries the memory bank has."""
        return len(self.bank)

    def of_codes(self, scale: Array, zero: Array) -> "PatchCoreScorer":
        """The scorer of codes (..., D) in place of the features `scale` * (code - `zero`), both (D,)."""
        return replace(self, standardise=self.standardise.of_codes(scale, zero))

    def rounded(self) -> "PatchCoreScorer":
        """The scorer whose bank is in whole steps, 127 to the largest, where its standardisation rounds for int8."""
        return self if self.standardise.rounding is None else replace(self, bank=in_steps(self.bank))

    @functools.cached_property
    def closeness_codes(self) -> Codes | None:
        """The int8 codes of (|x|^2 - |x - b|^2) / 2, where x and b are rounded."""
        if self.standardise.rounding is None:
            return None
        highest = float(self._norms.max()) / 2
        return Codes.between(-LOW_SHARE * highest, HIGH_SHARE * highest)

    def cells(self, features: CellGeometry) -> CellGeometry:
        """Where the scores' cells lie, given where the patches do."""
        return CellGeometry(features.vertical.spread(self.window), features.horizontal.spread(self.window))

    def score(self, features: Array) -> Array:
        """Scores (N, rows, columns) of the cells of images whose patches have features (N, R, C, D)."""
        patches = self.standardise(features).reshape(-1, self.standardise.dimensions)
        scores = self._nearest(patches, EVERY).reshape(features.shape[:-1])
        if self.counted is not None:
            scores *= self.counted.places
        around = np.pad(scores, ((0, 0), *[(self.window - 1, self.window - 1)] * 2))
        highest: Array = sliding_window_view(around, (1, self.window, self.window)).max(axis=(-3, -2, -1))
        return highest if self.counted is None else highest * self.counted.cells

    def patches(self, features: Array) -> Array:
        """The standardised features (n, K, d) of the K patches that count, given the features (n, R, C, D) of all."""
        return at_places(self.standardise(features), self.counted)

    def score_at(self, positions: NDArray[np.int64], features: Array) -> Array:
        """Scores (n,) of patches of features (n, D) that were taken at `positions` (n,)."""
        scores = self._nearest(self.standardise.at(positions, features), EVERY)
        return scores if self.counted is None else scores * self.counted.places.ravel()[positions]

    def held_out_scores(self, features: Array, samples: NDArray[np.int64]) -> Array:
        """The highest score (n,) of each image, given features (n, R, C, D) and the sample (n,) it is of.

        Entries taken from an image's own sample are passed over, as if it had never been seen: an entry is at
        distance 0 from itself.

        Most patches need not meet the whole bank. The distance to the nearest of some entries is an upper bound of the
        score, and a patch whose bound is not above another's score need not be scored.
        """
        patches = self.patches(features)
        images, count = patches.shape[:2]
        patches = patches.reshape(images * count, self.standardise.dimensions)
        owners = samples.repeat(count)
        if len(self.bank) <= FEW:
            every: Array = self._nearest(patches, EVERY, owners).reshape(images, count).max(axis=1)
            return every
        bounds = self._bounds(patches, owners)
        order = np.argsort(-bounds.reshape(images, count), axis=1, kind="stable") + count * np.arange(images)[:, None]
        highest = np.full(images, -np.inf, np.float32)
        start, stop = 0, LIKELIEST
        while True:
            some = order[:, start:stop]
            rows = some[bounds[some] > highest[:, None]]
            if not len(rows):
                return highest
            np.maximum.at(highest, rows // count, self._nearest(patches[rows], EVERY, owners[rows]))
            start, stop = stop, 2 * stop

    def graph(self, *features: "tf.Tensor") -> "tf.Tensor":
        """The same as TensorFlow operations, (N, R, C, D) to (N, rows, columns)."""
        from fomoad.scorers.patchcore_graph import graph

        return graph(self, *features)

    def _bounds(self, patches: Array, owners: NDArray[np.int64]) -> Array:
        """Upper bounds (n,) of the scores of scaled patches (n, D): their scores by a neighbourhood of the bank."""
        bounds = np.empty(len(patches), np.float32)
        for rows, entries in self._neighbourhoods.of(patches):
            bounds[rows] = self._nearest(patches[rows], entries, owners[rows])
        return bounds

    @functools.cached_property
    def _norms(self) -> Array:
        norms: Array = np.einsum("md,md->m", self.bank, self.bank)
        return norms

    @functools.cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        return Neighbourhoods(self.bank)

    def _nearest(
        self, patches: Array, entries: slice | NDArray[np.int64], owners: NDArray[np.int64] | None = None
    ) -> Array:
        """Mean distance (n,) of scaled patches (n, D) to the k nearest of some of the bank's entries.

        With `owners` (n,), the samples that the patches are of, a sample's own entries are passed over.
        """
        bank, samples, norms = self.bank[entries], self.samples[entries], self._norms[entries]
        rows, own = _same(owners, samples) if owners is not None else (np.empty(0, np.int64),) * 2
        nearest = np.empty(len(patches), np.float32)
        buffer = np.empty(TILE_ROWS * TILE_ENTRIES, np.float32)
        for start in range(0, len(patches), TILE_ROWS):
            some = patches[start : start + TILE_ROWS]
            doubled = -2 * some
            least = np.full((len(some), self.k), np.inf, np.float32)
            for first in range(0, len(bank), TILE_ENTRIES):
                batch = slice(first, min(first + TILE_ENTRIES, len(bank)))
                squared = buffer[: len(some) * (batch.stop - first)].reshape(len(some), -1)
                np.matmul(doubled, bank[batch].T, out=squared)
                squared += norms[batch]
                here = (rows >= start) & (rows < start + len(some)) & (own >= first) & (own < batch.stop)
                squared[rows[here] - start, own[here] - first] = np.inf
                least = _least(least, squared)
            if self.closeness_codes is not None:
                least = -2 * self.closeness_codes.rounded(least / -2)
            least += np.einsum("nd,nd->n", some, some)[:, None]
            nearest[start : start + TILE_ROWS] = np.sqrt(np.maximum(least, 0)).mean(axis=1)
        return nearest


def _same(owners: NDArray[np.int64], samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of equal numbers: their positions in `owners` (n,) and in `samples` (m,)."""
    order = np.argsort(samples, kind="stable")
    starts, ends = (np.searchsorted(samples[order], owners, side) for side in ("left", "right"))
    counts = ends - starts
    within = np.arange(counts.sum()) - (np.cumsum(counts) - counts).repeat(counts)
    return np.arange(len(owners)).repeat(counts), order[starts.repeat(counts) + within]


def _least(least: Array, values: Array) -> Array:
    """The k least in each row of `least` (n, k) and `values` (n, m) together: (n, k)."""
    k = least.shape[1]
    if k == 1:
        return np.minimum(least, values.min(axis=1, keepdims=True))
    both: Array = np.partition(np.concatenate([least, values], axis=1), k - 1, axis=1)[:, :k]
    return both
