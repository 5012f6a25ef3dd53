"""Conformal thresholds keep their promise on held-out photos, over many splits."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.thresholds import features_of, fit_rows
from fomoad.data.samples import generate
from fomoad.settings import TrainSettings
from fomoad.training.thresholds import HeldOut, conformal

TRAINING = 60
POOL = 240


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of many good parts."""
    directory = tmp_path_factory.mktemp("photos")
    generate.run(directory, size=64, train=POOL, test_normal=1, test_anomaly=1)
    return directory


@pytest.mark.no_cover
@pytest.mark.parametrize(("scoring", "splits"), [("gmm", 8), ("patchcore", 20)])
def test_new_normal_images_are_flagged_no_more_often_than_promised(photos: Path, scoring: str, splits: int) -> None:
    """The mean share of flagged new images is at most the rate, apart from chance."""
    settings = TrainSettings(scoring_function=scoring, capacity="low", sampling_ratio=0.02)
    features = features_of(settings, photos)
    flagged: dict[float, list[float]] = {0.1: [], 0.05: []}
    for split in range(splits):
        order = np.random.default_rng(split).permutation(POOL)
        fit = fit_rows(settings.model_copy(update={"seed": split}), features[order[:TRAINING]])
        scores = fit.scorer.score(features[order[TRAINING:]]).max(axis=(1, 2))
        for rate, shares in flagged.items():
            value = conformal(HeldOut(fit.held_out_scores, fit.samples), rate)
            assert value is not None
            shares.append(float((scores >= value).mean()))
    for rate, shares in flagged.items():
        # A split's share scatters like a binomial rate of its training images; the mean of many like its part.
        chance = np.sqrt(rate * (1 - rate) / TRAINING / splits)
        assert np.mean(shares) <= rate + 3 * chance
        assert np.mean(shares) > 0, "a threshold that nothing reaches promises nothing"
