"""PatchCore: the distance of a patch to the nearest of a memory bank of normal patches.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: a patch's score is its distance to
the bank (eq. 6), the bank a greedy k-center coreset of the training patches (algorithm 1).
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import tensorflow as tf
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


@dataclass(frozen=True)
class PatchCoreScorer:
    """A memory bank. score = mean Euclidean distance of the standardised features to the `k` nearest entries.

    `bank` (M, D) holds standardised features; `groups` (M,) numbers the training sample that each entry was taken
    from. Standardised features are centred, which keeps the products that distances are made of small and so exact.
    """

    standardise: Standardisation
    bank: Array
    groups: NDArray[np.int64]
    k: int

    @property
    def constant_steps(self) -> tuple[float, ...]:
        """The sizes of the steps that the graph's large constants are made of, where they are rounded for int8.

        The graph's kernels hold -2 times the bank.
        """
        return step_of(self.standardise.mixing), 2 * step_of(self.bank)

    def rounded(self) -> "PatchCoreScorer":
        """The scorer whose bank is rounded to whole steps of what its largest value is 127 of, for int8."""
        return replace(self, bank=in_steps(self.bank))

    def score(self, features: Array, group: int | None = None) -> Array:
        """Scores (...) of features (..., D).

        With `group`, entries taken from that training sample are passed over, as for an image that was never
        seen: an entry is at distance 0 from itself.
        """
        patches = self.standardise(features).reshape(-1, features.shape[-1])
        norms = np.einsum("md,md->m", self.bank, self.bank)
        if group is not None:
            norms = np.where(self.groups == group, np.inf, norms)
        block = max(1, BLOCK_BYTES // (4 * len(self.bank)))
        scores = [self._nearest(patches[start : start + block], norms) for start in range(0, len(patches), block)]
        return np.concatenate(scores).reshape(features.shape[:-1]).astype(np.float32)

    def graph(self, features: tf.Tensor, slice_bytes: int = SLICE_BYTES) -> tf.Tensor:
        """The same as TensorFlow operations, (N, rows, columns, D) to (N, rows, columns).

        For k = 1 the bank is taken in slices with a running minimum, and only operations that TFLite Micro has
        are used. Larger k need the whole row of distances, and TopK.
        """
        scaled = self.standardise.graph(features)
        own = tf.reduce_sum(tf.square(scaled), axis=-1)
        if self.k > 1:
            nearest = -tf.math.top_k(-self._squared_without_own(scaled, self.bank), self.k, sorted=False).values
            return tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest + own[..., None])), axis=-1)
        size = max(1, slice_bytes // (4 * features.shape[1] * features.shape[2]))
        lowest = None
        for start in range(0, len(self.bank), size):
            squared = self._squared_without_own(scaled, self.bank[start : start + size])
            least = tf.reduce_min(squared, axis=-1)
            lowest = least if lowest is None else tf.minimum(lowest, least)
        return tf.sqrt(tf.nn.relu(lowest + own))

    def _nearest(self, patches: Array, norms: Array) -> Array:
        """Mean distance of scaled patches (n, D) to the k nearest entries, `norms` being their squared norms."""
        squared = patches @ (-2 * self.bank.T)
        squared += norms
        if self.k > 1:
            squared = np.partition(squared, self.k - 1, axis=1)[:, : self.k]
        else:
            squared = squared.min(axis=1, keepdims=True)
        squared += np.einsum("nd,nd->n", patches, patches)[:, None]
        mean: Array = np.sqrt(np.maximum(squared, 0)).mean(axis=1)
        return mean

    @staticmethod
    def _squared_without_own(scaled: tf.Tensor, bank: Array) -> tf.Tensor:
        """Squared distances less the patch's own squared norm, as a 1x1 convolution."""
        kernel = tf.constant(-2 * bank.T[None, None])
        return tf.nn.bias_add(tf.nn.conv2d(scaled, kernel, 1, "VALID"), tf.constant((bank**2).sum(axis=1)))
