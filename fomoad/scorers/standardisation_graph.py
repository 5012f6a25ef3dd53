"""Standardisation as TensorFlow operations, and what the graphs of scorers have in common."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.scorers.standardisation import Standardisation
from fomoad.scorers.steps import STEPS, Codes, step_of

Array = NDArray[np.float32]


def standardise(standardisation: Standardisation, *features: tf.Tensor) -> tf.Tensor:
    """The same as calling the standardisation, (N, rows, columns, D) to (N, rows, columns, d).

    Features in several parts along D are joined when they are scaled, and rounded where they are.
    """
    rounding, matrix = standardisation.rounding, standardisation.whitening_matrix
    scaled, start = [], 0
    for part in features:
        mine = np.s_[..., start : start + part.shape[-1]]
        gain, offset = (tf.constant(each[mine]) for each in (standardisation.gain, standardisation.offset))
        scaled.append(rounded(part * gain + offset, rounding.scaled if rounding else None))
        start += part.shape[-1]
    joined = scaled[0] if len(scaled) == 1 else tf.concat(scaled, axis=-1)
    if rounding is None:
        return tf.nn.conv2d(joined, tf.constant(matrix[None, None]), 1, "VALID")
    return rounded(tf.nn.conv2d(joined, int8_kernel(matrix), 1, "VALID"), rounding.whitened)


def closeness(features: tf.Tensor, entries: Array, codes: Codes | None, step: float | None = None) -> tf.Tensor:
    """(|x|^2 - |x - e|^2) / 2 of cells x (N, R, C, D) and each of some entries e (K, D): (N, R, C, K).

    With `codes`, as an int8 convolution computes it, whose kernel is of steps of the size `step` (None: that of these
    entries).
    """
    kernel = int8_kernel(entries.T, step) if codes else tf.constant(entries.T[None, None])
    constants = tf.constant((entries**2).sum(axis=1) / -2)
    return rounded(tf.nn.bias_add(tf.nn.conv2d(features, kernel, 1, "VALID"), constants), codes)


def int8_kernel(matrix: Array, step: float | None = None) -> tf.Tensor:
    """A matrix (D, K) of whole steps as a kernel (1, 1, D, K) that the TFLite converter takes for an int8 one."""
    reach = STEPS * (step or step_of(matrix))
    return tf.quantization.fake_quant_with_min_max_args(
        tf.constant(matrix[None, None]), -reach, reach, num_bits=8, narrow_range=True
    )


def rounded(values: tf.Tensor, codes: Codes | None) -> tf.Tensor:
    """Values that have a code, by an operation that tells the TFLite converter to compute them in int8."""
    if codes is None:
        return values
    return tf.quantization.fake_quant_with_min_max_args(values, codes.low, codes.high, num_bits=8)


def as_codes(values: tf.Tensor, codes: Codes | None) -> tuple[tf.Tensor, float, int]:
    """The float32 codes of rounded values, their step, and the code of 0: values = step * (codes - zero).

    `fomoad.export.widening` makes one cheap operation of it. Without codes, the values themselves.
    """
    if codes is None:
        return values, 1.0, 0
    scaled = values * np.float32(1 / codes.step)
    return scaled + np.float32(codes.zero) if codes.zero else scaled, codes.step, codes.zero


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
