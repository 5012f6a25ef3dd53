"""Curves and bounds against statsmodels, SciPy's optimisers and repeated experiments."""

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from fomoad.metrics import detection_probability as pod

TRUE = (-6.0, 3.0)
"""Intercept and slope over log size: a50 is 7.4, a90 is 15.4 pixels."""


def _experiment(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    sizes = np.exp(random.uniform(np.log(2), np.log(40), count))
    return sizes, random.random(count) < special.expit(TRUE[0] + TRUE[1] * np.log(sizes))


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_that_of_statsmodels(seed: int) -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    sizes, found = _experiment(seed)
    curve = pod.fit(sizes, found)
    assert curve is not None
    assert not curve.penalised
    expected = statsmodels.Logit(found.astype(float), statsmodels.add_constant(np.log(sizes))).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose([curve.intercept, curve.slope], expected.params, rtol=1e-6)
    np.testing.assert_allclose(curve.covariance, expected.cov_params(), rtol=1e-4)
    assert curve.probability([curve.size_at(0.9)])[0] == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_where_the_likelihood_ratio_says(seed: int) -> None:
    sizes, found = _experiment(seed)
    curve = pod.fit(sizes, found)
    assert curve is not None
    bound = pod.upper_bound(curve, sizes, found)
    assert bound is not None
    assert bound > curve.size_at(0.9)

    def loss(parameters: np.ndarray) -> float:
        logits = parameters[0] + parameters[1] * np.log(sizes)
        return -float(special.log_expit(np.where(found, logits, -logits)).sum())

    free = optimize.minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11})
    through = {
        "type": "eq",
        "fun": lambda parameters: parameters[0] + parameters[1] * math.log(bound) - special.logit(0.9),
    }
    held = optimize.minimize(loss, free.x, method="SLSQP", constraints=[through], options={"ftol": 1e-12})
    assert 2 * (held.fun - free.fun) == pytest.approx(stats.chi2.ppf(0.9, 1), rel=1e-2)


def test_hits_and_misses_apart_take_firths_penalty() -> None:
    sizes = np.arange(2.0, 14)
    found = sizes >= 8
    curve = pod.fit(sizes, found)
    assert curve is not None
    assert curve.penalised

    def loss(parameters: np.ndarray) -> float:
        logits = parameters[0] + parameters[1] * np.log(sizes)
        weights = special.expit(logits) * special.expit(-logits)
        design = np.column_stack([np.ones(len(sizes)), np.log(sizes)])
        information = design.T @ (design * weights[:, None])
        penalty = np.linalg.slogdet(information)[1] / 2
        return -float(special.log_expit(np.where(found, logits, -logits)).sum() + penalty)

    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 5000, "maxfev": 5000}
    expected = optimize.minimize(loss, [-10.0, 5.0], method="Nelder-Mead", options=options)
    np.testing.assert_allclose([curve.intercept, curve.slope], expected.x, rtol=1e-4)
    bound = pod.upper_bound(curve, sizes, found)
    assert bound is None or bound > curve.size_at(0.9)


def test_the_bound_keeps_its_confidence() -> None:
    true_a90 = math.exp((special.logit(0.9) - TRUE[0]) / TRUE[1])
    kept = []
    for seed in range(100):
        sizes, found = _experiment(1000 + seed, count=60)
        curve = pod.fit(sizes, found)
        bound = pod.upper_bound(curve, sizes, found) if curve else None
        kept.append(bound is None or bound >= true_a90)
    # 95 of 100 are expected; 88 or fewer come once in 200 trials of a right bound.
    assert sum(kept) > 88


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        (np.arange(1.0, 21), np.ones(20, bool)),
        (np.arange(1.0, 21), np.zeros(20, bool)),
        (np.arange(1.0, 6), np.array([False, False, True, False, True])),
        (np.arange(1.0, 21), np.arange(20) % 7 < 4 - np.arange(20) // 6),
        (np.full(20, 5.0), np.arange(20) % 2 == 0),
    ],
    ids=["all found", "none found", "too few", "larger ones less often", "one size"],
)
def test_no_curve_where_there_is_none(sizes: np.ndarray, found: np.ndarray) -> None:
    assert pod.fit(sizes, found) is None


def test_no_curve_where_size_says_nearly_nothing() -> None:
    """51 of 100 large defects are found and 50 of 100 small ones: what is nearly always found has no size."""
    sizes = np.repeat([2.0, 16.0], 100)
    found = np.concatenate([np.arange(100) < 50, np.arange(100) < 51])
    assert pod.fit(sizes, found) is None
    assert pod.fit(sizes, np.concatenate([np.arange(100) < 50, np.arange(100) < 60])) is not None
