"""Mixtures of spherical Gaussians by expectation-maximisation.

It computes what scikit-learn's GaussianMixture computes, to the bit, without checking its arrays in every step: for a
few thousand cells, that is most of scikit-learn's time. All floats are float32, but where it says otherwise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float32]

MOST_ROUNDS: Final = 100
CHUNK_VALUES: Final = 10 * 2**17
"""Distances are computed for so many cells at a time that these and their products are about so many values."""


@dataclass(frozen=True)
class Mixture:
    """Weights (K,), means (K, D) and variances (K,) of K components."""

    weights: Array
    means: Array
    variances: Array


def maximise(
    cells: Array, start: Mixture | NDArray[np.int64], floor: float, tolerance: float, most_rounds: int = MOST_ROUNDS
) -> Mixture:
    """Fit a mixture to cells (n, D), from another one, or from one component on each of the cells numbered by `start`.

    `floor` is added to the variances. It ends when a round gains less log-likelihood per cell than `tolerance`.
    """
    lengths = np.einsum("ij,ij->i", cells, cells)
    squares = cells * cells
    if isinstance(start, Mixture):
        weights, means, variances = start.weights, start.means, start.variances
        scales = np.sqrt(1 / variances)
    else:
        members = np.zeros((len(cells), len(start)), np.float32)
        members[start, np.arange(len(start))] = 1
        weights, means, variances = _parameters(cells, squares, members, floor)
        weights /= len(cells)
        scales = 1 / np.sqrt(variances)
    gained = -np.inf
    for _ in range(most_rounds):
        likely = _log_density(cells, lengths, means, scales) + np.log(weights)
        total = logsumexp(likely, axis=1)
        weights, means, variances = _parameters(cells, squares, np.exp(likely - total[:, None]), floor)
        weights /= weights.sum()
        scales = 1 / np.sqrt(variances)
        before, gained = gained, np.mean(total)
        if abs(gained - before) < tolerance:
            break
    return Mixture(weights, means, variances)


def far_apart(cells: Array, count: int, seed: int) -> NDArray[np.int64]:
    """The numbers (count,) of cells (n, D) far from one another: greedy k-means++ (Arthur and Vassilvitskii 2007).

    Each is the best of a few, drawn with probabilities that grow with the squared distance to those before. As in
    scikit-learn, distances are computed in float64 and kept in float32.
    """
    random = np.random.RandomState(seed)
    ones = np.ones(len(cells), np.float32)
    distances = _Distances(cells)
    tries = 2 + int(np.log(count))
    chosen = np.empty(count, np.int64)
    chosen[0] = random.choice(len(cells), p=ones / ones.sum())
    nearest = distances.to(chosen[:1])
    total = nearest @ ones
    for number in range(1, count):
        drawn = random.uniform(size=tries) * total
        candidates = np.searchsorted(np.cumsum(nearest, dtype=np.float64), drawn)
        np.clip(candidates, None, nearest.size - 1, out=candidates)
        after = distances.to(candidates)
        np.minimum(nearest, after, out=after)
        totals = after @ ones[:, None]
        best = np.argmin(totals)
        nearest, total, chosen[number] = after[best], totals[best], candidates[best]
    return chosen


class _Distances:
    """Squared distances of cells (n, D)."""

    def __init__(self, cells: Array) -> None:
        self.cells = cells.astype(np.float64)
        self.lengths = np.einsum("ij,ij->i", self.cells, self.cells)
        count, width = cells.shape
        self.chunk = max(1, int(-width + np.sqrt(width**2 + max(CHUNK_VALUES, count * width / 10))))

    def to(self, numbers: NDArray[np.int64]) -> Array:
        """From the cells of these numbers (m,) to all: (m, n)."""
        some, lengths = self.cells[numbers], self.lengths[numbers]
        found = np.empty((len(numbers), len(self.cells)), np.float32)
        for first in range(0, len(self.cells), self.chunk):
            chunk = slice(first, first + self.chunk)
            distances = -2 * (some @ self.cells[chunk].T)
            distances += lengths[:, None]
            distances += self.lengths[chunk]
            found[:, chunk] = distances
        return np.maximum(found, 0, out=found)


def _parameters(cells: Array, squares: Array, members: Array, floor: float) -> tuple[Array, Array, Array]:
    """Sums of memberships (K,), means (K, D) and variances (K,), by the share (n, K) of each cell in each component."""
    sums = members.sum(axis=0) + 10 * np.finfo(members.dtype).eps
    means = np.dot(members.T, cells) / sums[:, None]
    variances = (np.dot(members.T, squares) / sums[:, None] - means**2 + floor).mean(1)
    return sums, means, variances


def _log_density(cells: Array, lengths: Array, means: Array, scales: Array) -> Array:
    """Logarithms (n, K) of the components' densities at cells of these squared `lengths` (n,).

    `scales` (K,) are inverse deviations.
    """
    width = cells.shape[1]
    precisions = scales**2
    distances = np.sum(means**2, 1) * precisions - 2 * np.dot(cells, means.T * precisions)
    distances += np.outer(lengths, precisions)
    density: Array = -0.5 * (width * np.log(2 * np.pi).astype(cells.dtype) + distances) + width * np.log(scales)
    return density
