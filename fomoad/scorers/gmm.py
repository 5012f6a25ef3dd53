"""A mixture of spherical Gaussians over standardised features: small enough for microcontrollers.

The scale is that of Edge Impulse's stock block: the log-likelihood, standardised over the training cells. Its
sign differs: there the absolute value is taken, so that cells which are unusually likely score high as well.

For the same flash and time, many spherical components over all features tell more than a few full covariances over
a random projection of them (docs/experiments/scorers.md), and nothing is left to the luck of a projection.
"""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fomoad.geometry import CellGeometry
from fomoad.scorers.counted import Counted
from fomoad.scorers.standardisation import Standardisation
from fomoad.scorers.steps import Codes, in_steps

if TYPE_CHECKING:
    import tensorflow as tf

Array = NDArray[np.float32]

CAPACITIES: Final = {"low": 64, "medium": 256, "high": 512}
"""Components of the mixture."""
REACH: Final = 4
"""Deviations from its mean that a component's cells lie at most, along the mean's own direction."""
LOW_SHARE: Final = 1 / 4
"""Codes of closeness reach so far below 0, as a share of how far above."""


@dataclass(frozen=True)
class GmmScorer:
    """A fitted mixture of K components.

    With x the standardised features of a cell, the log-likelihood is log sum_k `weights`[k] N(x; `means`[k],
    `variances`[k] I) (Bishop 2006, eq. 9.7 and 2.43); score = max(0, (`mean` - log-likelihood) / `deviation`).
    `weights` and `variances` are (K,), `means` is (K, D). What is not `counted` scores 0; None: everything is.
    Where the standardisation rounds for int8, so does the product with the means, which are in whole steps.
    """

    standardise: Standardisation
    weights: Array
    means: Array
    variances: Array
    mean: float
    deviation: float
    counted: Counted | None = None

    @property
    def size(self) -> int:
        """How many components there are."""
        return len(self.weights)

    def of_codes(self, scale: Array, zero: Array) -> "GmmScorer":
        """The scorer of codes (..., D) in place of the features `scale` * (code - `zero`), both (D,)."""
        return replace(self, standardise=self.standardise.of_codes(scale, zero))

    def rounded(self) -> "GmmScorer":
        """The scorer whose means are in whole steps, 127 to the largest, where its standardisation rounds for int8."""
        return self if self.standardise.rounding is None else replace(self, means=in_steps(self.means))

    @functools.cached_property
    def closeness_codes(self) -> Codes | None:
        """The int8 codes of (|x|^2 - |x - m|^2) / 2, where x and m are rounded.

        Of a component's own cells, x m lies around |m|^2 and deviates by |m| times the component's deviation.
        """
        if self.standardise.rounding is None:
            return None
        lengths = np.linalg.norm(self.means, axis=1)
        high = float(np.max(lengths * (lengths / 2 + REACH * np.sqrt(self.variances))))
        return Codes.between(-LOW_SHARE * high, high)

    def cells(self, features: CellGeometry) -> CellGeometry:
        """Where the scores' cells lie, given where the features' do."""
        return features

    def score(self, features: Array) -> Array:
        """Scores (..., rows, columns) of features (..., rows, columns, D)."""
        scores = self._standardised_scores(self.standardise(features))
        return scores if self.counted is None else scores * self.counted.cells

    def score_at(self, positions: NDArray[np.int64], features: Array) -> Array:
        """Scores (n,) of feature vectors (n, D) that were taken at `positions` (n,)."""
        scores = self._standardised_scores(self.standardise.at(positions, features))
        return scores if self.counted is None else scores * self.counted.places.ravel()[positions]

    def graph(self, *features: "tf.Tensor") -> "tf.Tensor":
        """The same as TensorFlow operations, (N, R, C, D) to (N, R, C)."""
        from fomoad.scorers.gmm_graph import graph

        return graph(self, *features)

    def _standardised_scores(self, cells: Array) -> Array:
        scores = (self.mean - self.log_likelihood(cells)) / self.deviation
        return np.maximum(scores, 0).astype(np.float32)

    def log_likelihood(self, cells: Array) -> NDArray[np.float64]:
        """Of standardised features (..., D), by |x - m|^2 = |x|^2 - 2 x m + |m|^2."""
        precise, means, codes = cells.astype(np.float64), self.means.astype(np.float64), self.closeness_codes
        closeness = precise @ means.T - (means**2).sum(axis=1) / 2
        if codes is not None:
            closeness = codes.rounded(closeness).astype(np.float64)
        own = (precise**2).sum(axis=-1, keepdims=True) / 2
        likelihood: NDArray[np.float64] = logsumexp((closeness - own) / self.variances + self.constants(), axis=-1)
        return likelihood

    def constants(self) -> NDArray[np.float64]:
        """The logarithm (K,) of what a component's likelihood is at its mean."""
        variances = self.variances.astype(np.float64)
        constants: NDArray[np.float64] = np.log(self.weights) - 0.5 * self.means.shape[1] * np.log(
            2 * np.pi * variances
        )
        return constants
