"""The mixture's scores as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.standardisation_graph import as_codes, closeness, highest, only, standardise, weighted_sum


def graph(scorer: GmmScorer, *features: tf.Tensor) -> tf.Tensor:
    """Scores (N, R, C) of features (N, R, C, D), whole or in parts along D.

    Only operations that TFLite Micro has, in the forms that take it the least time. The log-sum-exp subtracts the
    largest exponent first, so that nothing overflows.
    """
    codes, rounding = scorer.closeness_codes, scorer.standardise.rounding
    scaled = standardise(scorer.standardise, *features)
    close, step, zero = as_codes(closeness(scaled, scorer.means, codes), codes)
    length, length_step, _ = as_codes(scaled, rounding.whitened if rounding else None)
    own = weighted_sum(tf.square(length), -0.5 * length_step**2 / step)
    precisions = step / scorer.variances
    constants = tf.constant(scorer.constants() - zero * precisions, tf.float32)
    exponents = (close + own) * tf.constant(precisions) + constants
    largest = highest(exponents)
    summed = weighted_sum(tf.exp(exponents + largest * np.float32(-1)), 1.0)
    log_likelihood = largest + tf.math.log(summed)
    scores = log_likelihood * np.float32(-1 / scorer.deviation) + np.float32(scorer.mean / scorer.deviation)
    scores = tf.squeeze(tf.nn.relu(scores), axis=-1)
    return scores if scorer.counted is None else only(scores, scorer.counted.cells)
