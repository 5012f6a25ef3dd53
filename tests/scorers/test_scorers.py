"""Scorers against scikit-learn and brute force, in NumPy and as TensorFlow operations."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.linalg import fractional_matrix_power
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from fomoad.scorers.gmm import CAPACITIES, GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.patchcore_graph import graph as patchcore_graph
from fomoad.scorers.standardisation import (
    DIRECTIONS,
    FLOOR,
    WHITENING_FLOOR,
    Moments,
    Scale,
    Standardisation,
    standardisation,
)
from fomoad.scorers.standardisation_graph import standardise as standardise_graph
from fomoad.training.fit_gmm import fit_mixture, refit_mixture


def _cells(random: np.random.Generator) -> np.ndarray:
    """Features (2000, 24) that vary together."""
    return (random.standard_normal((2000, 24)) @ random.standard_normal((24, 24))).astype(np.float32) + 4


CELLS = _cells(np.random.default_rng(3))
FAR = (CELLS[:40] * 30).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Every cell within the tolerance that is promised."""
    assert np.all(np.abs(found - expected) <= 1e-3 * (1 + np.abs(expected)))


def at_one_place(cells: np.ndarray) -> np.ndarray:
    """Cells (n, D) as n images of one cell, (n, 1, 1, D)."""
    return cells[:, None, None]


def scaled(cells: np.ndarray) -> tuple[Standardisation, np.ndarray]:
    """The cells' standardisation for grids of one cell, and the cells so scaled."""
    places = np.zeros(len(cells), np.int64)
    standardise = standardisation(Moments.of(at_one_place(cells))).whitened(places, cells)
    return standardise, standardise.at(places, cells)


def mixture(cells: np.ndarray, components: int, seed: int, start: GmmScorer | None = None) -> GmmScorer:
    """A mixture fitted to cells of one place."""
    standardise, features = scaled(cells)
    if start is not None:
        return refit_mixture(features, standardise, start)
    return fit_mixture(features, standardise, components, seed)


def test_gmm_scores_are_scikit_learn_s_likelihoods_standardised() -> None:
    """The scorer's arrays, read back into scikit-learn, give the same log-likelihoods."""
    scorer = mixture(CELLS, 3, seed=1)
    reference = GaussianMixture(3, covariance_type="spherical")
    reference.weights_ = scorer.weights.astype(np.float64)
    reference.means_ = scorer.means.astype(np.float64)
    reference.precisions_cholesky_ = 1 / np.sqrt(scorer.variances.astype(np.float64))
    assert reference.weights_.sum() == pytest.approx(1, abs=1e-5)
    likelihood = reference.score_samples(scaled(CELLS)[1].astype(np.float64))
    expected = np.maximum((likelihood.mean() - likelihood) / likelihood.std(), 0)
    scores = scorer.score(at_one_place(CELLS))[:, 0, 0]
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert scorer.score(at_one_place(FAR)).min() > np.quantile(scores, 0.99)


def test_gmm_finds_the_clusters_that_are_there() -> None:
    """Between two clusters scores are high although each coordinate is usual."""
    random = np.random.default_rng(3)
    centres = np.where(random.random((3000, 1)) < 0.5, -10, 10)
    cells = (centres + random.standard_normal((3000, 5))).astype(np.float32)
    unmixed = standardisation(Moments.of(at_one_place(cells)))
    scorer = fit_mixture(unmixed(at_one_place(cells))[:, 0, 0], unmixed, 2, seed=0)
    between = scorer.score(np.zeros((1, 1, 1, 5), np.float32)).item()
    assert between > 3 * np.quantile(scorer.score(at_one_place(cells)), 0.99)


def test_gmm_started_from_a_mixture_stays_with_it() -> None:
    """On slightly changed features it ends near its start, where a fit from nothing ends elsewhere."""
    random = np.random.default_rng(3)
    scorer = mixture(CELLS, 64, seed=1)
    changed = CELLS + random.normal(0, 0.02, CELLS.shape).astype(np.float32)
    expected = scorer.score(at_one_place(CELLS)).ravel()
    started = mixture(changed, 64, seed=2, start=scorer).score(at_one_place(changed)).ravel()
    afresh = mixture(changed, 64, seed=2).score(at_one_place(changed)).ravel()
    assert np.corrcoef(expected, started)[0, 1] > 0.99
    assert np.corrcoef(expected, afresh)[0, 1] < 0.97


@pytest.mark.parametrize("components", CAPACITIES.values())
def test_gmm_graph_computes_the_same(components: int) -> None:
    """At any distance from the training cells, without overflow, on a grid whose places differ."""
    grids = CELLS[:1980].reshape(-1, 6, 10, 24) * np.linspace(0.5, 2, 60, dtype=np.float32).reshape(6, 10, 1)
    standardise = standardisation(Moments.of(grids)).whitened(np.arange(1980) % 60, grids.reshape(-1, 24))
    scorer = fit_mixture(standardise(grids).reshape(-1, 24), standardise, components, seed=2)
    features = np.concatenate([CELLS[:60], FAR, FAR[:20] * 1000]).reshape(2, 6, 10, -1)
    scores = scorer.graph(tf.constant(features)).numpy()
    assert scores.shape == (2, 6, 10)
    assert np.isfinite(scores).all()
    close(scores, scorer.score(features))


def patchcore(k: int, entries: int = 150, window: int = 1) -> PatchCoreScorer:
    """A scorer whose bank is some of the cells, then those half as far out, ten to a sample."""
    standardise, features = scaled(CELLS)
    bank = np.concatenate([features, features / 2])[:entries]
    return PatchCoreScorer(standardise, bank, np.arange(entries) // 10, k, window)


def brute_force(scorer: PatchCoreScorer, features: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean of the k smallest Euclidean distances, in float64."""
    standardised = features.astype(np.float64) * scorer.standardise.gain[0, 0] + scorer.standardise.offset[0, 0]
    distances = np.sort(
        cdist(standardised @ scorer.standardise.whitening_matrix, scorer.bank[kept].astype(np.float64)), axis=1
    )
    return distances[:, : scorer.k].mean(axis=1)


@pytest.mark.parametrize("k", [1, 4])
def test_patchcore_scores_are_nearest_neighbour_distances(k: int) -> None:
    """Against brute force; a bank entry itself is at distance 0."""
    scorer = patchcore(k)
    features = np.concatenate([CELLS[:30], CELLS[-50:], FAR])
    scores = scorer.score(at_one_place(features))[:, 0, 0]
    everyone = np.ones(150, bool)
    np.testing.assert_allclose(scores, brute_force(scorer, features, everyone), rtol=1e-3, atol=5e-3)
    if k == 1:
        assert scores[:30].max() < 5e-3


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("entries", [150, 3000])
def test_held_out_scores_pass_over_the_image_s_own_entries(k: int, entries: int) -> None:
    """Each image's highest by brute force, whether or not the bank is larger than what bounds are found with."""
    scorer = patchcore(k, entries)
    images = np.concatenate([CELLS[20:30], CELLS[-140:], FAR[:10], CELLS[:10]]).reshape(-1, 2, 5, CELLS.shape[1])
    groups = np.array([2, *range(3, 2 + len(images))])
    expected = [
        brute_force(scorer, image.reshape(10, -1), scorer.samples != group).max()
        for image, group in zip(images, groups, strict=True)
    ]
    assert expected[0] > 0.5
    np.testing.assert_allclose(scorer.held_out_scores(images, groups), expected, rtol=1e-3, atol=5e-3)
    assert scorer.held_out_scores(images[:0], groups[:0]).shape == (0,)  # no image of a batch may be of a fold


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_cell_s_score_is_the_highest_of_its_patches(window: int) -> None:
    """Cell by cell, in NumPy and in the graph."""
    patches = np.concatenate([CELLS[-40:], FAR[:8]]).reshape(2, 4, 6, -1)
    plain = patchcore(1).score(patches)
    expected = np.empty((2, 4 + window - 1, 6 + window - 1))
    for row in range(expected.shape[1]):
        for column in range(expected.shape[2]):
            rows = slice(max(0, row - window + 1), row + 1)
            columns = slice(max(0, column - window + 1), column + 1)
            expected[:, row, column] = plain[:, rows, columns].max(axis=(1, 2))
    scorer = patchcore(1, window=window)
    np.testing.assert_array_equal(scorer.score(patches), expected)
    close(scorer.graph(tf.constant(patches)).numpy(), expected)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("entries_at_a_time", [1000, 150, 64, 7, 0])
def test_patchcore_graph_computes_the_same(k: int, entries_at_a_time: int) -> None:
    """However the bank of 150 is sliced."""
    scorer = patchcore(k)
    features = np.concatenate([CELLS[-50:], FAR[:10]]).reshape(1, 6, 10, -1)
    scores = patchcore_graph(scorer, tf.constant(features), slice_bytes=entries_at_a_time * 4 * 60)
    close(scores.numpy(), scorer.score(features))


def test_standardisation_is_each_place_s_own() -> None:
    """With many images, features at every place come out with mean 0 and deviation 1."""
    random = np.random.default_rng(3)
    scale = np.array([[2.0, 5.0], [1.5, 3.0]])[..., None]
    images = (random.standard_normal((20_000, 2, 2, 3)) * scale + 7 * scale).astype(np.float32)
    standardise = standardisation(Moments.of(images[:5000]) + Moments.of(images[5000:]))
    standardised = standardise(images)
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=0.05)
    places = np.array([3, 0])
    cells = images[:2].reshape(2, 4, 3)[[0, 1], places]
    expected = standardised[:2].reshape(2, 4, 3)[[0, 1], places]
    np.testing.assert_allclose(standardise.at(places, cells), expected, atol=1e-5)


@pytest.mark.parametrize("dimensions", [24, 80])
def test_half_whitening_takes_the_fourth_root_of_the_covariance(dimensions: int) -> None:
    """Against SciPy's matrix power; the graph, in slices where it is wide, computes the same."""
    random = np.random.default_rng(3)
    mixed = random.standard_normal((3000, dimensions)) @ random.standard_normal((dimensions, dimensions))
    images = mixed.reshape(500, 2, 3, dimensions).astype(np.float32)
    scaling = standardisation(Moments.of(images))
    whitening = scaling.whitened(np.arange(3000) % 6, images.reshape(-1, dimensions))
    covariance = np.cov(scaling(images).reshape(-1, dimensions).astype(np.float64).T)
    floor = WHITENING_FLOOR * np.eye(dimensions)
    expected = fractional_matrix_power(covariance / np.trace(covariance) * dimensions + floor, -0.25)
    np.testing.assert_allclose(whitening.whitening_matrix, expected, atol=1e-3)
    np.testing.assert_allclose(standardise_graph(whitening, tf.constant(images)).numpy(), whitening(images), atol=1e-3)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_wide_features_keep_the_directions_of_the_largest_variance(power: float) -> None:
    """Against scikit-learn's PCA: inner products are those of its components, each divided as half whitening says."""
    random = np.random.default_rng(11)
    mixed = (
        random.standard_normal((3000, 160))
        * np.geomspace(3, 0.05, 160)
        @ np.linalg.qr(random.standard_normal((160, 160)))[0]
    )
    images = mixed.reshape(500, 2, 3, 160).astype(np.float32)
    scaling = standardisation(Moments.of(images), "global")
    whitening = scaling.whitened(np.arange(3000) % 6, images.reshape(-1, 160), power)
    assert whitening.dimensions == DIRECTIONS
    cells = scaling(images).reshape(-1, 160)
    pca = PCA(DIRECTIONS, svd_solver="full").fit(cells)
    relative = pca.explained_variance_ * (len(cells) - 1) / len(cells) / cells.var(axis=0).mean() + WHITENING_FLOOR
    components = pca.components_ @ cells[:50].T * relative[:, None] ** (-power / 2)
    found = whitening(images).reshape(-1, DIRECTIONS)[:50]
    np.testing.assert_allclose(found @ found.T, components.T @ components, atol=2e-2)
    np.testing.assert_allclose(standardise_graph(whitening, tf.constant(images)).numpy(), whitening(images), atol=1e-3)


@pytest.mark.parametrize(("scale", "expected"), [("global", [2.0, 3.0]), ("none", [2.55, 2.55])])
def test_one_scale_for_the_whole_image(scale: Scale, expected: list[float]) -> None:
    """global divides by each feature's deviation over the whole image, none by what features deviate by in all."""
    random = np.random.default_rng(12)
    images = (random.standard_normal((5000, 2, 2, 2)) * [2.0, 3.0] + 7).astype(np.float32)
    standardise = standardisation(Moments.of(images), scale)
    np.testing.assert_allclose(1 / standardise.gain, np.broadcast_to(expected, (2, 2, 2)), rtol=0.02)
    np.testing.assert_allclose(standardise(images).mean(axis=(0, 1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(
        standardise_graph(standardise, tf.constant(images)).numpy(), standardise(images), atol=1e-5
    )


def test_a_rounded_whitening_matrix_is_made_of_127_steps() -> None:
    """And differs from the exact one by half a step at most."""
    standardise, _ = scaled(CELLS)
    step = np.abs(standardise.whitening_matrix).max() / 127
    steps = standardise.rounded(np.zeros(len(CELLS), np.int64), CELLS).whitening_matrix / step
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.abs(steps).max() == pytest.approx(127)
    assert np.abs(steps - standardise.whitening_matrix / step).max() < 0.501


def test_a_single_cell_is_whitened_and_rounded_without_a_division_by_zero() -> None:
    """It varies in nothing, so that nothing is mixed; a mixture of it knows but one cell."""
    cell = CELLS[:1]
    standardise = standardisation(Moments.of(at_one_place(CELLS))).whitened(np.zeros(1, np.int64), cell)
    np.testing.assert_allclose(standardise.whitening_matrix / standardise.whitening_matrix[0, 0], np.eye(24), atol=1e-6)
    start = fit_mixture(standardise.at(np.zeros(1, np.int64), cell), standardise, 4, seed=1)
    again = refit_mixture(standardise.at(np.zeros(1, np.int64), cell), standardise, start)
    assert np.isfinite(again.score(at_one_place(CELLS[:9]))).all()


def test_standardisation_of_few_images_leans_on_the_whole_image() -> None:
    """One image says nothing of a place's spread: each place gets about that of the image."""
    random = np.random.default_rng(3)
    image = random.standard_normal((1, 8, 8, 2)).astype(np.float32)
    deviation = 1 / standardisation(Moments.of(image)).gain
    assert np.all(np.abs(deviation / image.std(axis=(0, 1, 2)) - 1) < 0.5)


def test_standardisation_does_not_blow_up_dead_features() -> None:
    """A feature that never varies gets no more gain than the floor allows."""
    images = np.array([[1.0, 2.0, 5.0], [3.0, 6.0, 5.0]], np.float32)[:, None, None]
    standardise = standardisation(Moments.of(images))
    floor = FLOOR * np.sqrt((1**2 + 2**2) / 3)
    np.testing.assert_allclose(standardise.gain.ravel(), [1, 0.5, 1 / floor], rtol=1e-6)
    np.testing.assert_allclose(standardise(images[:1]).ravel(), [-1, -1, 0], atol=1e-5)
