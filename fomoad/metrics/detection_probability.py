"""Probability of detection over size, from hits and misses: the method of MIL-HDBK-1823A, appendix G.

P(found | size a) = 1 / (1 + exp(-(b0 + b1 ln a))), fitted by maximum likelihood. a90 is the size that is found nine
times in ten, a90/95 the size of which one can say that with a confidence of 95 %.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

PROBABILITY: Final = 0.9
CRITICAL: Final = 2.705543454095404
"""The 90 % point of chi-squared with one degree of freedom: a one-sided bound of 95 % confidence."""
FEWEST: Final = 10
"""Defects that a curve takes at least; the handbook asks for 60 where safety depends on it."""
ROUNDS: Final = 100
TOLERANCE: Final = 1e-10
SLOPE_TOLERANCE: Final = 1e-3
"""Of the slope, where its likelihood is flat to the first order."""
LARGEST_BOUND: Final = 8.0
"""Bounds beyond a90 times e to this are called unknown."""

LEAST_SLOPE: Final = 0.05
"""A curve that rises less says nothing: at ten times the size, the odds of being found grow by an eighth."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A fitted curve over sizes. `penalised` where hits and misses do not overlap: it took Firth's penalty."""

    intercept: float
    slope: float
    covariance: Array
    """Of intercept and slope, (2, 2): the inverse of the Fisher information."""
    penalised: bool

    def probability(self, sizes: ArrayLike) -> Array:
        """The probability that defects of these sizes are found."""
        probabilities: Array = special.expit(self.intercept + self.slope * np.log(np.asarray(sizes, np.float64)))
        return probabilities

    def size_at(self, probability: float) -> float:
        """The size that is found with this probability."""
        return math.exp((float(special.logit(probability)) - self.intercept) / self.slope)


def fit(sizes: ArrayLike, found: ArrayLike) -> Curve | None:
    """Fit a curve to defects of sizes (n,), above 0, that were found (n,) or not.

    Where all hits are larger than all misses, the likelihood has no maximum: then Firth's penalty is added (Firth
    1993; Heinze & Schemper 2002), half the log determinant of the information. None where there are too few
    defects, all or none are found, or larger ones are not found more often: then there is no curve to speak of.

    >>> curve = fit([2, 3, 4, 5, 6, 7, 8, 9, 10, 12], [0, 0, 1, 0, 0, 1, 1, 1, 1, 1])
    >>> round(curve.size_at(0.5), 1)
    5.1
    """
    log_sizes, hits = np.log(np.asarray(sizes, np.float64)), np.asarray(found, bool)
    if len(hits) < FEWEST or hits.all() or not hits.any():
        return None
    separable = log_sizes[hits].min() >= log_sizes[~hits].max()
    design = np.column_stack([np.ones_like(log_sizes), log_sizes])
    coefficients = _maximise(design, hits, penalised=separable)
    if coefficients is None or coefficients[1] <= LEAST_SLOPE:
        return None
    covariance = np.linalg.inv(_information(design, coefficients))
    return Curve(float(coefficients[0]), float(coefficients[1]), covariance, separable)


def upper_bound(curve: Curve, sizes: ArrayLike, found: ArrayLike, probability: float = PROBABILITY) -> float | None:
    """The size that is found with this probability, with a confidence of 95 %: a90/95 for 0.9.

    The largest size a for which the likelihood ratio test of "a is found with this probability" passes
    (MIL-HDBK-1823A, G.3.4: the likelihood ratio method). With few defects it keeps its confidence better than Wald's
    bound. None where no size is large enough: the data do not rule out that even the largest are missed.
    """
    log_sizes, hits = np.log(np.asarray(sizes, np.float64)), np.asarray(found, bool)
    level = float(special.logit(probability))
    best = _log_likelihood(log_sizes, hits, curve.intercept, curve.slope, curve.penalised)
    start = math.log(curve.size_at(probability))

    def excess(log_size: float) -> float:
        """How far the ratio is from passing, where the curve goes through this size at the probability."""

        def loss(slope: float) -> float:
            return -_log_likelihood(log_sizes, hits, level - slope * log_size, slope, curve.penalised)

        tolerance = {"xatol": SLOPE_TOLERANCE * curve.slope}
        slope = optimize.minimize_scalar(loss, bounds=(1e-6, 10 * curve.slope), method="bounded", options=tolerance).x
        return 2 * (best + loss(float(slope))) - CRITICAL

    gradient = np.array([-1.0, -start]) / curve.slope
    step = math.sqrt(CRITICAL * float(gradient @ curve.covariance @ gradient))  # Wald's bound, to begin with
    step = min(max(0.05, step), LARGEST_BOUND)
    while excess(start + step) < 0:
        if step == LARGEST_BOUND:
            return None
        step = min(1.5 * step, LARGEST_BOUND)
    return math.exp(float(optimize.brentq(excess, start, start + step, xtol=1e-4)))


def _maximise(design: Array, hits: NDArray[np.bool_], penalised: bool) -> Array | None:
    """Newton's steps on the score of the coefficients (2,), halved where they overshoot; None where they run away.

    `design` is (n, 2). Firth's score adds h (1/2 - p) to each residual, h the leverages of the weighted design.
    """
    scale = np.array([1.0, max(float(design[:, 1].std()), 1e-9)])
    middle = np.array([0.0, float(design[:, 1].mean())])
    standard = (design - middle) / scale
    coefficients = np.zeros(2)
    for _ in range(ROUNDS):
        probability = special.expit(standard @ coefficients)
        information = _information(standard, coefficients)
        residual = hits - probability
        try:
            if penalised:
                weights = probability * (1 - probability)
                leverage = weights * np.einsum("ni,ij,nj->n", standard, np.linalg.inv(information), standard)
                residual = residual + leverage * (0.5 - probability)
            step = np.linalg.solve(information, standard.T @ residual)
        except np.linalg.LinAlgError:
            return None
        coefficients = coefficients + step * min(1.0, 5 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < TOLERANCE:
            slope = coefficients[1] / scale[1]
            return np.array([coefficients[0] - slope * middle[1], slope])
    return None


def _information(design: Array, coefficients: Array) -> Array:
    probability = special.expit(design @ coefficients)
    information: Array = (design * (probability * (1 - probability))[:, None]).T @ design
    return information


def _log_likelihood(
    log_sizes: Array, hits: NDArray[np.bool_], intercept: float, slope: float, penalised: bool
) -> float:
    logits = intercept + slope * log_sizes
    likelihood = float(special.log_expit(np.where(hits, logits, -logits)).sum())
    if not penalised:
        return likelihood
    design = np.column_stack([np.ones_like(log_sizes), log_sizes])
    sign, determinant = np.linalg.slogdet(_information(design, np.array([intercept, slope])))
    return likelihood + float(determinant) / 2 if sign > 0 else -math.inf
