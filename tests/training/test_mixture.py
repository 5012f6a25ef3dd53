"""Mixtures against scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fomoad.training.mixture import Mixture, far_apart, maximise


def cells_of(count: int, width: int) -> np.ndarray:
    """Cells around eight middles, float32."""
    random = np.random.default_rng(0)
    middles = 3 * random.standard_normal((8, width))
    return (random.standard_normal((count, width)) + middles[random.integers(8, size=count)]).astype(np.float32)


@pytest.mark.parametrize(("count", "width", "components"), [(30, 5, 3), (700, 40, 75), (2000, 288, 60), (9, 2, 1)])
def test_the_same_cells_and_the_same_mixtures_as_scikit_learn(count: int, width: int, components: int) -> None:
    """From cells far apart until nothing is gained, and two rounds from another; 2,000 cells take two chunks."""
    cells = cells_of(count, width)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not converged says so
        start = far_apart(cells, components, seed=5)
        np.testing.assert_array_equal(start, kmeans_plusplus(cells, components, random_state=5)[1])
        shared = {"covariance_type": "spherical", "reg_covar": 0.1, "random_state": 5}
        expected = GaussianMixture(components, init_params="k-means++", tol=0.03, **shared).fit(cells)
        found = maximise(cells, start, 0.1, 0.03)
        _assert_equal(found, expected)

        moved = Mixture(found.weights[::-1].copy(), found.means + np.float32(0.1), 2 * found.variances)
        given = {"weights_init": moved.weights, "means_init": moved.means, "precisions_init": 1 / moved.variances}
        expected = GaussianMixture(components, max_iter=2, tol=0, **given, **shared).fit(cells)
        _assert_equal(maximise(cells, moved, 0.1, 0.0, 2), expected)


def _assert_equal(found: Mixture, expected: GaussianMixture) -> None:
    np.testing.assert_allclose(found.weights, expected.weights_, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.means, expected.means_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.variances, expected.covariances_, rtol=1e-4)


def test_cells_that_are_all_alike_make_a_mixture() -> None:
    """Distances of nothing, and one cell alone."""
    for count in (1, 20):
        cells = np.ones((count, 3), np.float32)
        mixture = maximise(cells, far_apart(cells, min(count, 4), 0), 0.1, 0.03)
        np.testing.assert_allclose(mixture.means, 1, rtol=1e-5)
        np.testing.assert_allclose(mixture.variances, 0.1, rtol=1e-4)
        assert mixture.weights.sum() == pytest.approx(1)
