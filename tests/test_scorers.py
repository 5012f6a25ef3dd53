"""Scorers against scikit-learn and brute force, in NumPy and as TensorFlow operations."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist
from sklearn.mixture import GaussianMixture

from fomoad.scorers import gmm
from fomoad.scorers.gmm import Capacity
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import FLOOR, standardisation

RANDOM = np.random.default_rng(3)
CELLS = (RANDOM.standard_normal((2000, 24)) @ RANDOM.standard_normal((24, 24))).astype(np.float32) + 4
FAR = (CELLS[:40] * 30).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Every cell within the tolerance that is promised."""
    assert np.all(np.abs(found - expected) <= 1e-3 * (1 + np.abs(expected)))


def test_gmm_scores_are_scikit_learn_s_likelihoods_standardised() -> None:
    """The scorer's arrays, read back into scikit-learn, give the same log-likelihoods."""
    scorer = gmm.fit(CELLS, Capacity(3, 6), seed=1)
    projected = CELLS.astype(np.float64) @ scorer.projection + scorer.offset
    reference = GaussianMixture(3, covariance_type="full")
    factors = scorer.factors.astype(np.float64)
    reference.precisions_cholesky_ = factors
    reference.means_ = np.stack([s @ np.linalg.inv(f) for s, f in zip(scorer.shifts, factors, strict=True)])
    log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    reference.weights_ = np.exp(scorer.constants - log_determinants + 3 * np.log(2 * np.pi))
    assert reference.weights_.sum() == pytest.approx(1, abs=1e-5)
    likelihood = reference.score_samples(projected)
    expected = np.maximum((likelihood.mean() - likelihood) / likelihood.std(), 0)
    np.testing.assert_allclose(scorer.score(CELLS), expected, atol=1e-3)
    assert scorer.score(FAR).min() > scorer.score(CELLS).max()


def test_gmm_finds_the_clusters_that_are_there() -> None:
    """Between two clusters scores are high although each coordinate is usual."""
    centres = np.where(RANDOM.random((3000, 1)) < 0.5, -10, 10)
    cells = (centres + RANDOM.standard_normal((3000, 5))).astype(np.float32)
    scorer = gmm.fit(cells, Capacity(2, 5), seed=0)
    assert scorer.score(np.zeros((1, 5), np.float32))[0] > 3 * np.quantile(scorer.score(cells), 0.99)


def test_gmm_started_from_a_mixture_stays_with_it() -> None:
    """On slightly changed features it ends near its start, where a fit from nothing ends elsewhere."""
    scorer = gmm.fit(CELLS, gmm.CAPACITIES["medium"], seed=1)
    changed = CELLS + RANDOM.normal(0, 0.02, CELLS.shape).astype(np.float32)
    expected = scorer.score(CELLS)
    started = gmm.fit(changed, gmm.CAPACITIES["medium"], seed=2, start=scorer).score(changed)
    afresh = gmm.fit(changed, gmm.CAPACITIES["medium"], seed=2).score(changed)
    assert np.corrcoef(expected, started)[0, 1] > 0.99
    assert np.corrcoef(expected, afresh)[0, 1] < 0.97


@pytest.mark.parametrize("capacity", gmm.CAPACITIES)
def test_gmm_graph_computes_the_same(capacity: str) -> None:
    """At any distance from the training cells, without overflow."""
    scorer = gmm.fit(CELLS, gmm.CAPACITIES[capacity], seed=2)
    features = np.concatenate([CELLS[:60], FAR, FAR[:20] * 1000]).reshape(2, 6, 10, -1)
    scores = scorer.graph(tf.constant(features)).numpy()
    assert scores.shape == (2, 6, 10)
    assert np.isfinite(scores).all()
    close(scores, scorer.score(features))


def patchcore(k: int, entries: int = 150) -> PatchCoreScorer:
    """A scorer whose bank is some of the cells, ten to a sample."""
    standardise = standardisation(CELLS.mean(axis=0), CELLS.std(axis=0))
    return PatchCoreScorer(standardise, standardise(CELLS[:entries]), np.arange(entries) // 10, k)


def brute_force(scorer: PatchCoreScorer, features: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean of the k smallest Euclidean distances, in float64."""
    standardised = features.astype(np.float64) * scorer.standardise.gain + scorer.standardise.offset
    distances = np.sort(cdist(standardised, scorer.bank[kept].astype(np.float64)), axis=1)
    return distances[:, : scorer.k].mean(axis=1)


@pytest.mark.parametrize("k", [1, 4])
def test_patchcore_scores_are_nearest_neighbour_distances(k: int) -> None:
    """Against brute force; a bank entry itself is at distance 0, unless its own sample is passed over."""
    scorer = patchcore(k)
    features = np.concatenate([CELLS[:30], CELLS[-50:], FAR])
    everyone = np.ones(150, bool)
    np.testing.assert_allclose(scorer.score(features), brute_force(scorer, features, everyone), rtol=1e-3, atol=5e-3)
    others = scorer.groups != 2
    np.testing.assert_allclose(scorer.score(features, 2), brute_force(scorer, features, others), rtol=1e-3, atol=5e-3)
    own = CELLS[20:30]
    if k == 1:
        assert scorer.score(own).max() < 5e-3
    assert scorer.score(own, 2).min() > 0.5


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("entries_at_a_time", [1000, 150, 64, 7, 0])
def test_patchcore_graph_computes_the_same(k: int, entries_at_a_time: int) -> None:
    """However the bank of 150 is sliced."""
    scorer = patchcore(k)
    features = np.concatenate([CELLS[-50:], FAR[:10]]).reshape(1, 6, 10, -1)
    close(scorer.graph(tf.constant(features), entries_at_a_time * 4 * 60).numpy(), scorer.score(features))


def test_standardisation_does_not_blow_up_dead_features() -> None:
    """A feature that never varies gets no more gain than the floor allows."""
    deviation = np.array([1.0, 2.0, 0.0])
    standardise = standardisation(np.array([1.0, 0.0, 5.0]), deviation)
    floor = FLOOR * np.sqrt((deviation**2).mean())
    np.testing.assert_allclose(standardise.gain, [1, 0.5, 1 / floor])
    np.testing.assert_allclose(standardise(np.array([[2.0, 2.0, 5.0]], np.float32)), [[1, 1, 0]], atol=1e-5)
