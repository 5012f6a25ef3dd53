"""The mixture's scores as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.standardisation_graph import highest, only, products, standardise, weighted_sum
from fomoad.scorers.steps import step_of


def graph(scorer: GmmScorer, features: tf.Tensor) -> tf.Tensor:
    """Scores (N, R, C) of features (N, R, C, D).

    Only operations that TFLite Micro has, in the forms that take it the least time. The log-sum-exp subtracts the
    largest exponent first, so that nothing overflows.
    """
    scaled = standardise(scorer.standardise, features)
    step = step_of(scorer.means)
    own = weighted_sum(tf.square(scaled), -0.5 / step)
    precisions, constants = tf.constant(step / scorer.variances), tf.constant(scorer.exponent_constants(), tf.float32)
    exponents = (products(scaled, scorer.means.T / step) + own) * precisions + constants
    largest = highest(exponents)
    summed = weighted_sum(tf.exp(exponents + largest * np.float32(-1)), 1.0)
    log_likelihood = largest + tf.math.log(summed)
    scores = log_likelihood * np.float32(-1 / scorer.deviation) + np.float32(scorer.mean / scorer.deviation)
    scores = tf.squeeze(tf.nn.relu(scores), axis=-1)
    return scores if scorer.counted is None else only(scores, scorer.counted.cells)
