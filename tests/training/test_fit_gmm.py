"""How many components a mixture gets, and what its training images' held-out scores are."""

import numpy as np
import pytest

from fomoad.features.store import FeatureSource, StoredFeatures
from fomoad.training.fit_gmm import GmmFitter

SIZES = (5, 5)


def _clusters(images: int, clusters: int, seed: int) -> np.ndarray:
    """Grids (images, 5, 5, 8) of cells from a few far clusters."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 6, (clusters, 8))
    chosen = random.integers(clusters, size=(images, *SIZES))
    return (centres[chosen] + random.standard_normal((images, *SIZES, 8))).astype(np.float32)


def _fit(features: np.ndarray, components: int, sample_ids: list[str] | None = None):
    source = FeatureSource(StoredFeatures(features), lambda rows: rows, 2**30)
    return GmmFitter(components, scale="place", seed=1).fit(
        source, sample_ids or [str(row) for row in range(len(features))]
    )


@pytest.mark.parametrize(("images", "fewest", "most"), [(8, 2, 10), (16, 2, 40), (120, 64, 64)])
def test_few_images_get_few_components(images: int, fewest: int, most: int) -> None:
    """Four clusters do not need 64 components. With many cells to a component nothing is tried."""
    fit = _fit(_clusters(images, 4, 1), 64)
    assert fewest <= len(fit.scorer.weights) <= most
    assert {len(mixture.weights) for mixture in fit.held_out} == {len(fit.scorer.weights)}


def test_a_smaller_mixture_finds_unseen_cells_more_likely() -> None:
    """What is chosen beats twice as many components on new images, though not on those of the training."""
    features, new = _clusters(8, 2, 1), _clusters(200, 2, 2)
    chosen = _fit(features, 64).scorer
    larger = _fit(features, 2 * len(chosen.weights)).scorer if len(chosen.weights) < 20 else chosen
    likelihoods = [scorer.log_likelihood(scorer.standardise(new)).mean() for scorer in (chosen, larger)]
    assert likelihoods[0] >= likelihoods[1] - 1e-9


@pytest.mark.parametrize("images", [12, 24])
def test_the_highest_held_out_score_is_that_of_new_images(images: int) -> None:
    """Scored by a mixture that saw them, training images seem far more usual than new ones of the same kind."""
    flagged_held_out, flagged_seen = [], []
    for seed in range(6):
        features, new = _clusters(images, 3, seed), _clusters(300, 3, 100 + seed)
        fit = _fit(features, 256)
        scores = fit.scorer.score(new).max(axis=(1, 2))
        flagged_held_out.append((scores >= fit.held_out_scores.max()).mean())
        flagged_seen.append((scores >= fit.scorer.score(features).max()).mean())
    assert np.mean(flagged_held_out) < 1.5 / (images + 1)
    assert np.mean(flagged_seen) > np.mean(flagged_held_out)


def test_copies_of_a_sample_do_not_vouch_for_it() -> None:
    """With the ids of the parts, the copies are held out together; without, each copy makes the other look usual."""
    features = np.repeat(_clusters(15, 3, 1), 2, axis=0)
    parts = [str(row // 2) for row in range(30)]
    by_part, by_photo = _fit(features, 64, parts), _fit(features, 64)
    assert by_part.held_out_scores.mean() > by_photo.held_out_scores.mean()
    np.testing.assert_array_equal(by_part.samples, np.unique(parts, return_inverse=True)[1])
