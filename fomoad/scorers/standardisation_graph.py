"""Standardisation as TensorFlow operations."""

from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.scorers.standardisation import Standardisation

Array = NDArray[np.float32]

SLICE: Final = 64
"""Columns of a matrix that a graph multiplies with at a time: a microcontroller's memory holds but one slice."""


def standardise(standardisation: Standardisation, features: tf.Tensor) -> tf.Tensor:
    """The same as calling the standardisation, (N, rows, columns, D) to (N, rows, columns, D)."""
    scaled = features * tf.constant(standardisation.gain) + tf.constant(standardisation.offset)
    return products(scaled, standardisation.whitening_matrix)


def products(features: tf.Tensor, matrix: Array) -> tf.Tensor:
    """Features (N, rows, columns, D) times a matrix (D, M), slice by slice."""
    slices = [matrix[:, start : start + SLICE] for start in range(0, matrix.shape[1], SLICE)]
    found = [tf.nn.conv2d(features, tf.constant(each[None, None]), 1, "VALID") for each in slices]
    return found[0] if len(found) == 1 else tf.concat(found, axis=-1)
