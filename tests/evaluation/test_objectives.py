"""Thresholds meet their objectives on new images, and are found as brute force finds them."""

import numpy as np
import pytest

from fomoad.errors import UserError
from fomoad.evaluation import objectives
from fomoad.evaluation.objectives import Objective, choose, cross_validated, parse


def _images(seed: int, good: int = 80, defects: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    anomalous = np.arange(good + defects) >= good
    return random.gamma(4, 1, good + defects) + 3 * anomalous * random.random(good + defects), anomalous


def _cost(scores, anomalous, threshold, objective) -> float:
    share = objective.defect_share or anomalous.mean()
    misses, alarms = (scores[anomalous] < threshold).mean(), (scores[~anomalous] >= threshold).mean()
    return share * misses * objective.cost_miss + (1 - share) * alarms * objective.cost_false_alarm


def _f1(scores, anomalous, threshold, objective) -> float:
    share = objective.defect_share or anomalous.mean()
    found = share * (scores[anomalous] >= threshold).mean()
    alarms = (1 - share) * (scores[~anomalous] >= threshold).mean()
    return 2 * found / (found + alarms + share) if found + alarms else 0.0


@pytest.mark.parametrize("share", [None, 0.01])
@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_is_better(seed: int, share: float | None) -> None:
    scores, anomalous = _images(seed)
    every = [*scores, scores.max() + 1]
    for objective, worth in [
        (Objective("f1", defect_share=share), _f1),
        (Objective("cost", cost_miss=20, defect_share=share), lambda *args: -_cost(*args)),
        (Objective("cost", cost_false_alarm=50, defect_share=share), lambda *args: -_cost(*args)),
    ]:
        found = choose(scores, anomalous, objective)
        best = max(worth(scores, anomalous, threshold, objective) for threshold in every)
        assert worth(scores, anomalous, found, objective) == pytest.approx(best)


@pytest.mark.parametrize(("objective", "kind"), [("recall=0.9", True), ("false-positive-rate=0.1", False)])
def test_rates_are_kept_for_new_images(objective: str, kind: bool) -> None:
    """Over many draws the share of new images on the wrong side is floor((n + 1) rate) / (n + 1), never more."""
    wrong = []
    for seed in range(400):
        scores, anomalous = _images(seed)
        threshold = choose(scores, anomalous, parse(objective))
        new, truth = _images(10_000 + seed)
        flagged = new[truth == kind] >= threshold
        wrong.append((~flagged if kind else flagged).mean())
    n = 40 if kind else 80
    expected = np.floor((n + 1) * 0.1) / (n + 1)
    assert expected <= 0.1
    assert np.mean(wrong) == pytest.approx(expected, abs=4 * np.std(wrong) / 20)


def test_cross_validation_is_honest_where_hindsight_is_not() -> None:
    """Scores that know nothing: hindsight finds a threshold that looks good, cross-validation does not."""
    random = np.random.default_rng(0)
    hindsight, honest = [], []
    for _ in range(20):
        scores, anomalous = random.random(30), np.arange(30) < 15
        objective = Objective("cost")
        hindsight.append(_cost(scores, anomalous, choose(scores, anomalous, objective), objective))
        flagged = cross_validated(scores, anomalous, [str(i) for i in range(30)], objective)
        honest.append((1 - flagged[anomalous]).mean() / 2 + flagged[~anomalous].mean() / 2)
    assert np.mean(hindsight) < 0.45
    assert np.mean(honest) > 0.47


def test_images_of_a_sample_are_never_on_both_sides() -> None:
    """Of each part, a copy: a threshold chosen with the copy would know the image."""
    scores, anomalous = _images(3, 20, 20)
    doubled, truth = np.repeat(scores, 2), np.repeat(anomalous, 2)
    flagged = cross_validated(doubled, truth, [str(i // 2) for i in range(80)], Objective("f1"))
    np.testing.assert_array_equal(flagged, np.repeat(flagged[::2], 2))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("best",), "'best' is not known"),
        (("recall",), "is not known"),
        (("recall=2",), "is not known"),
        (("f1=0.5",), "is not known"),
        (("recall=x",), "is not known"),
        (("f1", 2.0), "belong to --objective cost"),
        (("cost", -1.0), "cost -1"),
        (("f1", None, None, 1.0), "share of defects is 1"),
    ],
)
def test_bad_objectives_are_refused(arguments: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(*arguments)


@pytest.mark.parametrize(
    ("objective", "good", "defects", "sentence"),
    [
        ("recall=0.95", 50, 18, "at least 19 images with defects, there are 18"),
        ("false-positive-rate=0.01", 98, 5, "at least 99 images of good parts, there are 98"),
        ("f1", 5, 0, r"good images \(5\) and images with defects \(0\)"),
    ],
)
def test_too_few_images_are_refused(objective: str, good: int, defects: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        objectives.check_enough(np.arange(good + defects) >= good, parse(objective))
    objectives.check_enough(np.arange(good + defects + 20) >= good + 10, parse(objective))
