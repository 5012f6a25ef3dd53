"""PatchCore: the distance of a patch to the nearest of a memory bank of normal patches.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: a patch's score is its distance to
the bank (eq. 6), the bank a greedy k-center coreset of the training patches (algorithm 1).
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fomoad.scorers.standardisation import Standardisation
from fomoad.scorers.steps import in_steps, step_of

Array = NDArray[np.float32]

SLICE_BYTES: Final = 64 * 2**10
"""The graph compares with so many bank entries at a time that their distances take about this much.

A microcontroller's arena then does not grow with the bank, and elsewhere the distances stay in the cache.
"""
BLOCK_BYTES: Final = 64 * 2**20
"""Distances are computed in NumPy in blocks of about this size."""
SCOUTS: Final = 256
"""Entries that bound a patch's score from above: the last that were picked. The first are those far out."""
EVERY: Final = slice(None)
LIKELIEST: Final = 8
"""Patches of an image that are scored at a time, those of the highest bounds first."""


@dataclass(frozen=True)
class PatchCoreScorer:
    """A memory bank. A patch's score is the mean Euclidean distance of its standardised features to the `k` nearest.

    A patch is `window` x `window` cells large, and a cell's score the highest of those of the patches that it is in:
    R x C patches score R + window - 1 by C + window - 1 cells. `bank` (M, D) holds standardised features; `groups`
    (M,) numbers the training sample that each entry was taken from. Standardised features are centred, which keeps
    the products that distances are made of small and so exact.
    """

    standardise: Standardisation
    bank: Array
    groups: NDArray[np.int64]
    k: int
    window: int = 1

    @property
    def constant_steps(self) -> tuple[float, ...]:
        """The sizes of the steps that the graph's large constants are made of, where they are rounded for int8.

        The graph's kernels hold -2 times the bank.
        """
        return step_of(self.standardise.mixing), 2 * step_of(self.bank)

    def rounded(self) -> "PatchCoreScorer":
        """The scorer whose bank is rounded to whole steps of what its largest value is 127 of, for int8."""
        return replace(self, bank=in_steps(self.bank))

    def score(self, features: Array) -> Array:
        """Scores (N, rows, columns) of the cells of images whose patches have features (N, R, C, D)."""
        patches = self.standardise(features).reshape(-1, features.shape[-1])
        scores = self._nearest(patches, EVERY).reshape(features.shape[:-1])
        around = np.pad(scores, ((0, 0), *[(self.window - 1, self.window - 1)] * 2))
        highest: Array = sliding_window_view(around, (1, self.window, self.window)).max(axis=(-3, -2, -1))
        return highest

    def held_out_scores(self, features: Array, groups: NDArray[np.int64]) -> Array:
        """The highest score (n,) of each image, given features (n, R, C, D) and the sample (n,) it is of.

        Entries taken from an image's own sample are passed over, as if it had never been seen: an entry is at
        distance 0 from itself.

        Most patches need not meet the whole bank. The distance to the nearest of some entries is an upper bound of the
        score, and a patch whose bound is below another's score is not the highest.
        """
        images, count = len(features), features.shape[1] * features.shape[2]
        patches = self.standardise(features).reshape(images * count, features.shape[-1])
        owners = groups.repeat(count)
        scouts = slice(-max(SCOUTS, self.k), None)
        bounds = self._nearest(patches, scouts, owners).reshape(images, count)
        if len(self.bank[scouts]) == len(self.bank):
            every: Array = bounds.max(axis=1)
            return every
        order = np.argsort(-bounds, axis=1, kind="stable") + count * np.arange(images)[:, None]
        highest = np.full(images, -np.inf, np.float32)
        left = np.arange(images)
        for start in range(0, count, LIKELIEST):
            left = left[bounds.reshape(-1)[order[left, start]] > highest[left]]
            rows = order[left, start : start + LIKELIEST]
            scores = self._nearest(patches[rows.ravel()], EVERY, owners[rows.ravel()])
            highest[left] = np.maximum(highest[left], scores.reshape(rows.shape).max(axis=1, initial=-np.inf))
        return highest

    def graph(self, features: tf.Tensor, slice_bytes: int = SLICE_BYTES) -> tf.Tensor:
        """The same as TensorFlow operations, (N, R, C, D) to (N, rows, columns).

        For k = 1 the bank is taken in slices with a running minimum, and only operations that TFLite Micro has
        are used. Larger k need the whole row of distances, and TopK.
        """
        scaled = self.standardise.graph(features)
        own = tf.reduce_sum(tf.square(scaled), axis=-1)
        if self.k > 1:
            nearest = -tf.math.top_k(-self._squared_without_own(scaled, self.bank), self.k, sorted=False).values
            return self._highest(tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest + own[..., None])), axis=-1))
        size = max(1, slice_bytes // (4 * features.shape[1] * features.shape[2]))
        lowest = None
        for start in range(0, len(self.bank), size):
            squared = self._squared_without_own(scaled, self.bank[start : start + size])
            least = tf.reduce_min(squared, axis=-1)
            lowest = least if lowest is None else tf.minimum(lowest, least)
        return self._highest(tf.sqrt(tf.nn.relu(lowest + own)))

    def _highest(self, scores: tf.Tensor) -> tf.Tensor:
        """The scores (N, rows, columns) of cells, given those of patches (N, R, C), none of which is below 0."""
        if self.window == 1:
            return scores
        around = tf.pad(scores, [[0, 0], *[[self.window - 1, self.window - 1]] * 2])
        return tf.nn.max_pool2d(around[..., None], self.window, 1, "VALID")[..., 0]

    def _nearest(self, patches: Array, entries: slice, owners: NDArray[np.int64] | None = None) -> Array:
        """Mean distance (n,) of scaled patches (n, D) to the k nearest of some of the bank's entries.

        With `owners` (n,), the samples that the patches are of, a sample's own entries are passed over.
        """
        bank, groups = self.bank[entries], self.groups[entries]
        norms = np.einsum("md,md->m", bank, bank)
        nearest = np.empty(len(patches), np.float32)
        block = max(1, BLOCK_BYTES // (4 * len(bank)))
        for start in range(0, len(patches), block):
            some = patches[start : start + block]
            squared = some @ (-2 * bank.T)
            squared += norms
            if owners is not None:
                squared[owners[start : start + block, None] == groups] = np.inf
            if self.k > 1:
                squared = np.partition(squared, self.k - 1, axis=1)[:, : self.k]
            else:
                squared = squared.min(axis=1, keepdims=True)
            squared += np.einsum("nd,nd->n", some, some)[:, None]
            nearest[start : start + block] = np.sqrt(np.maximum(squared, 0)).mean(axis=1)
        return nearest

    @staticmethod
    def _squared_without_own(scaled: tf.Tensor, bank: Array) -> tf.Tensor:
        """Squared distances less the patch's own squared norm, as a 1x1 convolution."""
        kernel = tf.constant(-2 * bank.T[None, None])
        return tf.nn.bias_add(tf.nn.conv2d(scaled, kernel, 1, "VALID"), tf.constant((bank**2).sum(axis=1)))
