"""The mixture's scores as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.standardisation_graph import products, standardise


def graph(scorer: GmmScorer, features: tf.Tensor) -> tf.Tensor:
    """Scores (N, R, C) of features (N, R, C, D).

    Only operations that TFLite Micro has. The log-sum-exp subtracts the largest exponent first, so that
    nothing overflows.
    """
    scaled = standardise(scorer.standardise, features)
    # A sum as a convolution: on a grid of one cell, the ONNX converter takes a reduction's axis for another.
    ones = tf.ones((1, 1, scaled.shape[-1], 1))
    own = tf.nn.conv2d(tf.square(scaled), ones, 1, "VALID")
    precisions, constants = tf.constant(1 / scorer.variances), tf.constant(scorer.exponent_constants(), tf.float32)
    exponents = (products(scaled, scorer.means.T) - own * np.float32(0.5)) * precisions + constants
    largest = tf.reduce_max(exponents, axis=-1, keepdims=True)
    summed = tf.reduce_sum(tf.exp(exponents - largest), axis=-1)
    log_likelihood = tf.squeeze(largest, axis=-1) + tf.math.log(summed)
    return tf.nn.relu((scorer.mean - log_likelihood) * np.float32(1 / scorer.deviation))
