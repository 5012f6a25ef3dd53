"""PatchCore's scores as TensorFlow operations."""

from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation_graph import standardise

Array = NDArray[np.float32]

SLICE_BYTES: Final = 64 * 2**10
"""The graph compares with so many bank entries at a time that their distances take about this much.

A microcontroller's arena then does not grow with the bank, and elsewhere the distances stay in the cache.
"""


def graph(scorer: PatchCoreScorer, features: tf.Tensor, slice_bytes: int = SLICE_BYTES) -> tf.Tensor:
    """Scores (N, rows, columns) of features (N, R, C, D).

    For k = 1 the bank is taken in slices with a running minimum, and only operations that TFLite Micro has
    are used. Larger k need the whole row of distances, and TopK.
    """
    scaled = standardise(scorer.standardise, features)
    own = tf.reduce_sum(tf.square(scaled), axis=-1)
    if scorer.k > 1:
        nearest = -tf.math.top_k(-_squared_without_own(scaled, scorer.bank), scorer.k, sorted=False).values
        return _highest(tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest + own[..., None])), axis=-1), scorer.window)
    size = max(1, slice_bytes // (4 * features.shape[1] * features.shape[2]))
    lowest = None
    for start in range(0, len(scorer.bank), size):
        squared = _squared_without_own(scaled, scorer.bank[start : start + size])
        least = tf.reduce_min(squared, axis=-1)
        lowest = least if lowest is None else tf.minimum(lowest, least)
    return _highest(tf.sqrt(tf.nn.relu(lowest + own)), scorer.window)


def _highest(scores: tf.Tensor, window: int) -> tf.Tensor:
    """The scores (N, rows, columns) of cells, given those of patches (N, R, C), none of which is below 0."""
    if window == 1:
        return scores
    around = tf.pad(scores, [[0, 0], *[[window - 1, window - 1]] * 2])
    return tf.nn.max_pool2d(around[..., None], window, 1, "VALID")[..., 0]


def _squared_without_own(scaled: tf.Tensor, bank: Array) -> tf.Tensor:
    """Squared distances less the patch's own squared norm, as a 1x1 convolution."""
    kernel = tf.constant(-2 * bank.T[None, None])
    return tf.nn.bias_add(tf.nn.conv2d(scaled, kernel, 1, "VALID"), tf.constant((bank**2).sum(axis=1)))
