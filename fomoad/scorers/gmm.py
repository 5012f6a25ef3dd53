"""A Gaussian mixture over projected features: small enough for microcontrollers.

The scale is that of Edge Impulse's stock block: the log-likelihood, standardised over the training cells. Its
sign differs: there the absolute value is taken, so that cells which are unusually likely score high as well.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fomoad.scorers.standardisation import standardisation

Array = NDArray[np.float32]

REGULARISATION: Final = 1e-4
"""Added to the covariances' diagonals, in units of the projected features' mean variance."""


@dataclass(frozen=True)
class Capacity:
    """How much of the features a mixture can tell apart."""

    components: int
    dimensions: int


CAPACITIES: Final[dict[str, Capacity]] = {
    "low": Capacity(components=4, dimensions=16),
    "medium": Capacity(components=8, dimensions=32),
    "high": Capacity(components=16, dimensions=64),
}


@dataclass(frozen=True)
class GmmScorer:
    """A fitted mixture, as the arrays of the computation.

    With z = x `projection` + `offset` (D to d) and, for component k, y_k = z `factors`[k] - `shifts`[k], the
    log-likelihood is log sum_k exp(`constants`[k] - |y_k|^2 / 2), where `factors`[k] is the Cholesky factor of
    the component's precision matrix (Bishop 2006, eq. 2.43 and 9.7; scikit-learn's precisions_cholesky_).
    score = max(0, (`mean` - log-likelihood) / `deviation`).
    """

    projection: Array
    offset: Array
    factors: Array
    shifts: Array
    constants: Array
    mean: float
    deviation: float

    def score(self, features: Array) -> Array:
        """Scores (...) of features (..., D)."""
        scores = (self.mean - self._log_likelihood(features)) / self.deviation
        return np.maximum(scores, 0).astype(np.float32)

    def graph(self, features: tf.Tensor) -> tf.Tensor:
        """The same as TensorFlow operations, (N, rows, columns, D) to (N, rows, columns).

        Only operations that TFLite Micro has. The log-sum-exp subtracts the largest exponent first, so that
        nothing overflows.
        """
        components, dimensions = self.shifts.shape
        projected = _conv(features, self.projection, self.offset)
        factors = self.factors.transpose(1, 0, 2).reshape(dimensions, -1)
        whitened = _conv(projected, factors, -self.shifts.reshape(-1))
        sums = np.kron(np.eye(components, dtype=np.float32), np.full((dimensions, 1), -0.5, np.float32))
        exponents = _conv(tf.square(whitened), sums, self.constants)
        largest = tf.reduce_max(exponents, axis=-1, keepdims=True)
        summed = tf.reduce_sum(tf.exp(exponents - largest), axis=-1)
        log_likelihood = tf.squeeze(largest, axis=-1) + tf.math.log(summed)
        return tf.nn.relu((self.mean - log_likelihood) * np.float32(1 / self.deviation))

    def _log_likelihood(self, features: Array) -> NDArray[np.float64]:
        projected = features.astype(np.float64) @ self.projection + self.offset
        whitened = np.einsum("...d,kde->...ke", projected, self.factors.astype(np.float64)) - self.shifts
        likelihood: NDArray[np.float64] = logsumexp(self.constants - 0.5 * (whitened**2).sum(axis=-1), axis=-1)
        return likelihood


def fit(cells: Array, capacity: Capacity, seed: int, start: GmmScorer | None = None) -> GmmScorer:
    """Fit a mixture to training features (n, D), projected to `capacity.dimensions` by a Gaussian random matrix.

    With `start`, a mixture of this capacity that was fitted to like features, its projection is kept and
    expectation-maximisation begins there: it then ends in the same of many optima.

    Raises ValueError where there are fewer cells than components.
    """
    if len(cells) < capacity.components:
        raise ValueError(f"{len(cells)} cells cannot be told into {capacity.components} components")
    if start is None:
        projection, offset = _random_projection(cells, capacity.dimensions, seed)
    else:
        projection, offset = start.projection, start.offset
    projected = cells @ projection + offset
    mixture = GaussianMixture(
        n_components=capacity.components,
        covariance_type="full",
        reg_covar=REGULARISATION * max(float(projected.var(axis=0).mean()), 1e-12),
        random_state=seed,
        **({} if start is None else _parameters(start)),
    )
    # Expectation-maximisation is thousands of small products: threads wait for one another longer than they work,
    # up to fifteen times longer where another process uses the cores.
    with threadpool_limits(1):
        mixture.fit(projected.astype(np.float64))
    factors = mixture.precisions_cholesky_
    log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    constants = np.log(mixture.weights_) + log_determinants - 0.5 * projected.shape[1] * np.log(2 * np.pi)
    scorer = GmmScorer(
        projection=projection,
        offset=offset,
        factors=factors.astype(np.float32),
        shifts=np.einsum("kd,kde->ke", mixture.means_, factors).astype(np.float32),
        constants=constants.astype(np.float32),
        mean=0.0,
        deviation=1.0,
    )
    likelihood = scorer._log_likelihood(cells)
    return GmmScorer(
        **{**scorer.__dict__, "mean": float(likelihood.mean()), "deviation": float(max(likelihood.std(), 1e-6))}
    )


def _parameters(scorer: GmmScorer) -> dict[str, NDArray[np.float64]]:
    """The weights, means and precisions of a fitted mixture, as scikit-learn's arguments to start from."""
    factors, shifts = scorer.factors.astype(np.float64), scorer.shifts.astype(np.float64)
    log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    weights = np.exp(scorer.constants - log_determinants + 0.5 * shifts.shape[1] * np.log(2 * np.pi))
    return {
        "weights_init": weights / weights.sum(),
        "means_init": np.linalg.solve(factors.transpose(0, 2, 1), shifts[..., None])[..., 0],
        "precisions_init": factors @ factors.transpose(0, 2, 1),
    }


def _random_projection(cells: Array, dimensions: int, seed: int) -> tuple[Array, Array]:
    """Standardise each feature, then project by a random Gaussian matrix scaled by 1 / sqrt(dimensions)."""
    standardise = standardisation(cells.mean(axis=0), cells.std(axis=0))
    random = np.random.default_rng(seed).standard_normal((cells.shape[1], dimensions)) / np.sqrt(dimensions)
    return (standardise.gain[:, None] * random).astype(np.float32), (standardise.offset @ random).astype(np.float32)


def _conv(features: tf.Tensor, matrix: NDArray[Any], bias: NDArray[Any]) -> tf.Tensor:
    """features @ matrix + bias, as a 1x1 convolution."""
    kernel = tf.constant(matrix[None, None], tf.float32)
    return tf.nn.bias_add(tf.nn.conv2d(features, kernel, 1, "VALID"), tf.constant(bias, tf.float32))
