"""What the int8 model takes over from the float32 one."""

from dataclasses import replace

import numpy as np
import pytest

from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.standardisation import Standardisation
from fomoad.settings import TrainSettings
from fomoad.training.fit import Fit
from fomoad.training.int8 import own_threshold
from fomoad.training.state import KeptFit

SCORES = np.random.default_rng(0).gamma(2.0, 2.0, 100).astype(np.float32)


def _fit(scores: np.ndarray) -> Fit:
    ones = np.ones((1, 1, 2), np.float32)
    scorer = GmmScorer(
        Standardisation(ones, ones, np.eye(2, dtype=np.float32)),
        ones[0, 0],
        np.ones((2, 2), np.float32),
        ones[0, 0],
        0.0,
        1.0,
    )
    return Fit(scorer, scores, np.arange(len(scores)), lambda features, images: scores[images])


def test_the_threshold_is_carried_over_whatever_the_highest_image_does() -> None:
    """int8 scores are 1.1 times the float32 ones, but that of the highest image is twice as high."""
    rounded = SCORES * np.float32(1.1)
    rounded[SCORES.argmax()] *= 2
    assert own_threshold(TrainSettings(), _fit(SCORES), _fit(rounded)) == pytest.approx(1.1 * SCORES.max(), rel=1e-5)


def test_images_of_an_update_do_not_matter() -> None:
    """They score highest, and int8 clips them to half."""
    joined = [np.concatenate([SCORES * np.float32(factor), np.full(12, added, np.float32)])
              for factor, added in ((1.0, 40), (1.1, 20))]  # fmt: skip
    fits = [replace(KeptFit.of(_fit(scores)), trained=len(SCORES)) for scores in joined]
    assert own_threshold(TrainSettings(), *fits) == pytest.approx(1.1 * SCORES.max(), rel=1e-5)


def test_scores_of_0_do_not_matter() -> None:
    few = np.array([0, 0, 3, 4], np.float32)
    assert own_threshold(TrainSettings(), _fit(few), _fit(few * 2)) == pytest.approx(8)


def test_a_conformal_threshold_is_the_int8_models_own() -> None:
    settings = TrainSettings(threshold_method="conformal", false_positive_rate=0.1)
    expected = np.sort(SCORES * np.float32(1.5))[90]  # rank ceil(101 * 0.9) = 91
    given = own_threshold(settings, _fit(SCORES), _fit(SCORES * np.float32(1.5)))
    assert given == pytest.approx(expected, rel=1e-5)
