"""A mixture of spherical Gaussians over standardised features: small enough for microcontrollers.

The scale is that of Edge Impulse's stock block: the log-likelihood, standardised over the training cells. Its
sign differs: there the absolute value is taken, so that cells which are unusually likely score high as well.

For the same flash and time, many spherical components over all features tell more than a few full covariances over
a random projection of them (docs/quality.md), and nothing is left to the luck of a projection.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fomoad.scorers.standardisation import Standardisation, products
from fomoad.scorers.steps import in_steps, step_of

Array = NDArray[np.float32]

CAPACITIES: Final = {"low": 64, "medium": 256, "high": 512}
"""Components of the mixture."""
CELLS_PER_COMPONENT: Final = 10
"""Fewer cells than this say nothing about a component: it is left out."""
REGULARISATION: Final = 0.1
"""Added to the components' variances, in units of the features' mean variance."""
TOLERANCE: Final = 3e-2
"""Expectation-maximisation ends when a round gains less log-likelihood per cell than this."""
ANY_GAIN: Final = 1e9
"""A tolerance that ends it after the second round, the first that has one before it to compare with."""


@dataclass(frozen=True)
class GmmScorer:
    """A fitted mixture of K components.

    With x the standardised features of a cell, the log-likelihood is log sum_k `weights`[k] N(x; `means`[k],
    `variances`[k] I) (Bishop 2006, eq. 9.7 and 2.43); score = max(0, (`mean` - log-likelihood) / `deviation`).
    `weights` and `variances` are (K,), `means` is (K, D).
    """

    standardise: Standardisation
    weights: Array
    means: Array
    variances: Array
    mean: float
    deviation: float

    @property
    def constant_steps(self) -> tuple[float, ...]:
        """The sizes of the steps that the graph's large constants are made of, where they are rounded for int8."""
        return step_of(self.standardise.mixing), step_of(self.means)

    def score(self, features: Array) -> Array:
        """Scores (..., rows, columns) of features (..., rows, columns, D)."""
        scores = (self.mean - self._log_likelihood(self.standardise(features))) / self.deviation
        return np.maximum(scores, 0).astype(np.float32)

    def graph(self, features: tf.Tensor) -> tf.Tensor:
        """The same as TensorFlow operations, (N, rows, columns, D) to (N, rows, columns).

        Only operations that TFLite Micro has. The log-sum-exp subtracts the largest exponent first, so that
        nothing overflows.
        """
        scaled = self.standardise.graph(features)
        # A sum as a convolution: on a grid of one cell, the ONNX converter takes a reduction's axis for another.
        ones = tf.ones((1, 1, scaled.shape[-1], 1))
        own = tf.nn.conv2d(tf.square(scaled), ones, 1, "VALID")
        precisions, constants = tf.constant(1 / self.variances), tf.constant(self._constants(), tf.float32)
        exponents = (products(scaled, self.means.T) - own * np.float32(0.5)) * precisions + constants
        largest = tf.reduce_max(exponents, axis=-1, keepdims=True)
        summed = tf.reduce_sum(tf.exp(exponents - largest), axis=-1)
        log_likelihood = tf.squeeze(largest, axis=-1) + tf.math.log(summed)
        return tf.nn.relu((self.mean - log_likelihood) * np.float32(1 / self.deviation))

    def _log_likelihood(self, cells: Array) -> NDArray[np.float64]:
        """Of standardised features (..., D), by |x - m|^2 = |x|^2 - 2 x m + |m|^2."""
        precise = cells.astype(np.float64)
        products = precise @ (self.means / self.variances[:, None]).T.astype(np.float64)
        own = (precise**2).sum(axis=-1, keepdims=True)
        likelihood: NDArray[np.float64] = logsumexp(
            products + self._constants() - own * (0.5 / self.variances), axis=-1
        )
        return likelihood

    def _constants(self) -> NDArray[np.float64]:
        """What of a component's exponent (K,) does not depend on the cell."""
        variances = self.variances.astype(np.float64)
        own = (self.means.astype(np.float64) ** 2).sum(axis=1)
        constants: NDArray[np.float64] = (
            np.log(self.weights) - 0.5 * self.means.shape[1] * np.log(2 * np.pi * variances) - 0.5 * own / variances
        )
        return constants


def fit(
    cells: Array, standardise: Standardisation, components: int, seed: int, start: GmmScorer | None = None
) -> GmmScorer:
    """Fit a mixture to training features (n, D) that `standardise` has been applied to.

    Where the cells are few, so are the components. Expectation-maximisation sets out from cells far apart
    (k-means++). With `start`, a mixture of like features, it takes two rounds from there: each component stays the
    counterpart of its own, while more rounds would go on to other optima. The features are then those of int8 kernels,
    and the means are rounded to int8 as well.
    """
    if len(cells) == 1:
        cells = np.repeat(cells, 2, axis=0)  # scikit-learn asks for two
    count = max(1, min(components, len(cells) // CELLS_PER_COMPONENT))
    mixture = GaussianMixture(
        n_components=count,
        covariance_type="spherical",
        reg_covar=REGULARISATION * max(float(cells.var(axis=0).mean()), 1e-12),
        init_params="k-means++",
        tol=TOLERANCE,
        random_state=seed,
    )
    if start is not None and len(start.weights) == count:
        mixture.set_params(
            weights_init=start.weights / start.weights.sum(),
            means_init=start.means,
            precisions_init=1 / start.variances,
            tol=ANY_GAIN,
        )
    # Expectation-maximisation is thousands of small products: threads wait for one another longer than they work,
    # up to fifteen times longer where another process uses the cores.
    with threadpool_limits(1):
        mixture.fit(cells)
    means = mixture.means_.astype(np.float32)
    scorer = GmmScorer(
        standardise=standardise,
        weights=mixture.weights_.astype(np.float32),
        means=means if start is None else in_steps(means),
        variances=mixture.covariances_.astype(np.float32),
        mean=0.0,
        deviation=1.0,
    )
    likelihood = scorer._log_likelihood(cells)
    return replace(scorer, mean=float(likelihood.mean()), deviation=float(max(likelihood.std(), 1e-6)))
