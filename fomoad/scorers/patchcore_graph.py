"""PatchCore's scores as TensorFlow operations."""

import functools
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation_graph import as_codes, closeness, highest, only, standardise, weighted_sum
from fomoad.scorers.steps import step_of

Array = NDArray[np.float32]

SLICE_BYTES: Final = 32 * 2**10
"""The graph compares with so many bank entries at a time that their distances take about this much, twice.

A microcontroller's arena then does not grow with the bank, and elsewhere the distances stay in the cache.
"""


def graph(scorer: PatchCoreScorer, *features: tf.Tensor, slice_bytes: int = SLICE_BYTES) -> tf.Tensor:
    """Scores (N, rows, columns) of features (N, R, C, D), whole or in parts along D.

    For k = 1 the bank is taken in slices with a running maximum of closeness, and only operations that TFLite Micro has
    are used. Larger k need the whole row of distances, and TopK.
    """
    scaled = standardise(scorer.standardise, *features)
    codes, rounding, step = scorer.closeness_codes, scorer.standardise.rounding, step_of(scorer.bank)
    length, length_step, _ = as_codes(scaled, rounding.whitened if rounding else None)
    own = weighted_sum(tf.square(length), length_step**2)
    if scorer.k > 1:
        nearest = tf.math.top_k(closeness(scaled, scorer.bank, codes), scorer.k, sorted=False).values
        distances = tf.sqrt(tf.nn.relu(nearest * np.float32(-2) + own))
        return _of_cells(scorer, tf.reduce_mean(distances, axis=-1))
    size = max(1, slice_bytes // ((1 if codes else 4) * scaled.shape[1] * scaled.shape[2]))
    slices = (scorer.bank[start : start + size] for start in range(0, len(scorer.bank), size))
    closest = functools.reduce(tf.maximum, (highest(closeness(scaled, entries, codes, step)) for entries in slices))
    distances = tf.sqrt(tf.nn.relu(closest * np.float32(-2) + own))
    return _of_cells(scorer, tf.squeeze(distances, axis=-1))


def _of_cells(scorer: PatchCoreScorer, scores: tf.Tensor) -> tf.Tensor:
    """The scores (N, rows, columns) of cells, given those of patches (N, R, C)."""
    if scorer.counted is None:
        return _widened(scores, scorer.window)
    return only(_widened(only(scores, scorer.counted.places), scorer.window), scorer.counted.cells)


def _widened(scores: tf.Tensor, window: int) -> tf.Tensor:
    """The scores (N, rows, columns) of cells, given those of patches (N, R, C), none of which is below 0."""
    if window == 1:
        return scores
    around = tf.pad(scores, [[0, 0], *[[window - 1, window - 1]] * 2])
    return tf.squeeze(tf.nn.max_pool2d(around[..., None], window, 1, "VALID"), axis=-1)
