"""Standardisation as TensorFlow operations."""

from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.scorers.standardisation import Standardisation
from fomoad.scorers.steps import step_of

Array = NDArray[np.float32]

SLICE: Final = 64
"""Columns of a matrix that a graph multiplies with at a time: a microcontroller's memory holds but one slice."""


def standardise(standardisation: Standardisation, features: tf.Tensor) -> tf.Tensor:
    """The same as calling the standardisation, (N, rows, columns, D) to (N, rows, columns, D)."""
    matrix = standardisation.whitening_matrix
    step = step_of(matrix)  # taken out of the matrix, which is then of whole numbers where it is rounded
    gain, offset = tf.constant(standardisation.gain * step), tf.constant(standardisation.offset * step)
    return products(features * gain + offset, matrix / step)


def products(features: tf.Tensor, matrix: Array) -> tf.Tensor:
    """Features (N, rows, columns, D) times a matrix (D, M), slice by slice."""
    slices = [matrix[:, start : start + SLICE] for start in range(0, matrix.shape[1], SLICE)]
    found = [tf.nn.conv2d(features, tf.constant(each[None, None]), 1, "VALID") for each in slices]
    return found[0] if len(found) == 1 else tf.concat(found, axis=-1)


def only(scores: tf.Tensor, counted: NDArray[np.bool_]) -> tf.Tensor:
    """The scores (N, rows, columns), and 0 wherever a place or cell (rows, columns) does not count."""
    return scores * tf.constant(counted[None].astype(np.float32))


def highest(values: tf.Tensor) -> tf.Tensor:
    """The highest of each cell's values (N, R, C, K): (N, R, C, 1).

    By pooling, which takes a microcontroller a tenth of what a reduction does.
    """
    rows, columns, count = values.shape[1:]
    pooled = tf.nn.max_pool2d(tf.reshape(values, (-1, rows * columns, count, 1)), (1, count), 1, "VALID")
    return tf.reshape(pooled, (-1, rows, columns, 1))


def weighted_sum(values: tf.Tensor, weight: float) -> tf.Tensor:
    """The sum of each cell's values (N, R, C, K), times a weight: (N, R, C, 1).

    By convolution, for the same reason.
    """
    kernel = np.full((1, 1, values.shape[-1], 1), weight, np.float32)
    return tf.nn.conv2d(values, tf.constant(kernel), 1, "VALID")
