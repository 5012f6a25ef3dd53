"""Whether more photos help: on images whose answer is known, and by scipy's distribution itself."""

import json

import numpy as np
import pytest
from scipy import integrate, special

from fomoad.data.dataset import split_in_memory
from fomoad.evaluation.report import render
from fomoad.metadata import Interval, LearningCurve, LearningPoint
from fomoad.settings import TrainSettings
from fomoad.training import fitters, learning_curve
from tests.support.results import results

SHAPE = (64, 64, 1)


def _images(count: int, kinds: int) -> np.ndarray:
    """Textures of so many kinds, noise aside: a scorer that has not seen a kind takes it for a defect."""
    random = np.random.default_rng(0)
    textures = random.integers(40, 215, (kinds, 8, 8, 1))
    pixels = np.tile(textures[np.arange(count) % kinds], (1, 8, 8, 1))
    return np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def _extract(images: np.ndarray) -> np.ndarray:
    """The pixels of each block of 8 x 8."""
    count, height, width, _ = images.shape
    blocks = images.reshape(count, height // 8, 8, width // 8, 8).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(count, height // 8, width // 8, 64).astype(np.float32)


def _curve(count: int, kinds: int, scoring: str = "patchcore") -> LearningCurve | None:
    settings = TrainSettings(scoring_function=scoring, sampling_ratio=0.5, feature_scaling="global", pool_size=1)
    split = split_in_memory(_images(count, kinds), "0..1")
    return learning_curve.measure(split, _extract, fitters.fitter(settings, SHAPE), 0.05, 1, 2**28)


@pytest.mark.parametrize("scoring", ["gmm", "patchcore"])
def test_more_of_the_same_does_not_help(scoring: str) -> None:
    curve = _curve(200, 1, scoring)
    assert curve is not None
    assert [point.images for point in curve.points] == [40, 80, 160]
    assert curve.held_out == 40
    assert not curve.detection_rises
    assert curve.points[-1].found > 0.3


def test_of_many_kinds_more_photos_help() -> None:
    curve = _curve(200, 40)
    assert curve is not None
    assert curve.detection_rises
    assert curve.points[0].found < curve.points[2].found
    assert "more photos would still help (it would find more" in learning_curve.sentence(curve)


def test_of_few_nothing_is_said(capsys) -> None:
    assert _curve(39, 1) is None
    assert "40 samples or more; there are 39" in capsys.readouterr().out


@pytest.mark.parametrize(("samples", "rate"), [(120, 0.05), (50, 0.1), (400, 0.01)])
def test_the_interval_holds_95_per_cent(samples: int, rate: float) -> None:
    """By integrating the density of the k-th of n uniform numbers, from its definition."""
    found = learning_curve.interval(samples, rate)
    assert found is not None
    rank = int(np.ceil((samples + 1) * (1 - rate) - 1e-9))
    choose = special.comb(samples, rank) * rank

    def density(flagged: float) -> float:
        return choose * (1 - flagged) ** (rank - 1) * flagged ** (samples - rank)

    below, _ = integrate.quad(density, 0, found.low)
    within, _ = integrate.quad(density, found.low, found.high)
    assert below == pytest.approx(0.025, abs=1e-4)
    assert within == pytest.approx(0.95, abs=1e-4)
    if samples == 120:
        assert (round(found.low, 3), round(found.high, 3)) == (0.019, 0.095)


def test_too_few_samples_for_a_rate_have_no_interval() -> None:
    assert learning_curve.interval(18, 0.05) is None
    assert learning_curve.interval(19, 0.05) is not None
    assert learning_curve.unsure(None)
    assert learning_curve.unsure(Interval(low=0.02, high=0.09))
    assert not learning_curve.unsure(Interval(low=0.03, high=0.07))


def test_noise_is_no_rise() -> None:
    random = np.random.default_rng(3)
    before = random.random(300) < 0.5
    after = np.where(random.random(300) < 0.2, ~before, before)
    assert not learning_curve.rises(before, after)
    assert not learning_curve.rises(after, before)


def test_the_report_shows_it() -> None:
    points = [
        LearningPoint(images=20, found=0.4, false_alarms=None),
        LearningPoint(images=80, found=0.7, false_alarms=Interval(low=0.019, high=0.095)),
    ]
    curve = LearningCurve(
        rate=0.05, defects=90, held_out=20, points=points, detection_rises=True, thresholds_unsure=True
    )
    page = render(results([True, False]).model_copy(update={"learning_curve": curve}), [])
    text = " ".join(page.split())
    assert "More photos would still help (it would find more, false alarms would be known better)" in text
    assert "1.9 to 9.5 %" in text
    assert json.loads(curve.model_dump_json())["points"][0]["false_alarms"] is None
