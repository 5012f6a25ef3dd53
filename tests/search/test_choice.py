"""The choice against DeLong's standard errors, and by hand."""

import numpy as np
import pytest

from fomoad.metrics import image_metrics
from fomoad.search.choice import GROUPS, SURE, Finding, choose


def scored(seed: int, count: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two candidates that share most of what is hard, and which photos are anomalous: a third."""
    random = np.random.default_rng(seed)
    anomalous = np.arange(count) % 3 == 0
    common = random.normal(size=count) + anomalous
    one, two = (common + random.normal(scale=0.5, size=count) + extra * anomalous for extra in (shift, 0.0))
    return one, two, anomalous


def auroc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    found = image_metrics.auroc(image_metrics.operating_points(scores, anomalous))
    assert found is not None
    return found


def finding(scores: np.ndarray, anomalous: np.ndarray) -> Finding:
    """Groups of the same number of photos of each kind."""
    groups = np.empty(len(scores), int)
    for kind in (False, True):
        rows = np.flatnonzero(anomalous == kind)
        groups[rows] = np.arange(len(rows)) % GROUPS
    without = [auroc(scores[groups != group], anomalous[groups != group]) for group in range(GROUPS)]
    return Finding(auroc(scores, anomalous), without)


def delong(one: np.ndarray, two: np.ndarray, anomalous: np.ndarray) -> float:
    """The standard error of a difference of AUROCs (DeLong, DeLong and Clarke-Pearson 1988), pair by pair."""
    wins = [(each[anomalous][:, None] > each[~anomalous]).astype(float) for each in (one, two)]
    difference = wins[0] - wins[1]
    of_defects, of_good = difference.mean(axis=1), difference.mean(axis=0)
    return float(np.sqrt(of_defects.var(ddof=1) / len(of_defects) + of_good.var(ddof=1) / len(of_good)))


@pytest.mark.parametrize("count", [60, 180, 600])
def test_the_error_of_a_lead_is_delongs(count: int) -> None:
    """On the mean over draws: the jackknife over 20 groups is itself unsure by a sixth."""
    ratios = []
    for seed in range(40):
        one, two, anomalous = scored(seed, count, 0.3)
        lead, error = finding(one, anomalous).lead(finding(two, anomalous))
        assert lead == pytest.approx(auroc(one, anomalous) - auroc(two, anomalous))
        ratios.append(error / delong(one, two, anomalous))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_the_same_lead_is_clear_on_many_photos_only() -> None:
    chosen = []
    for count in (30, 3000):
        one, two, anomalous = scored(1, count, 0.15)
        found = choose({4: finding(two, anomalous), 7: finding(one, anomalous)}, [4, 7])
        assert (found.promising, found.most) == (4, 7)
        assert found.needed == pytest.approx(SURE * found.error)
        chosen.append(found.best)
    assert chosen == [4, 7]


def test_chance_seldom_takes_the_place_of_the_most_promising() -> None:
    """Of ten candidates that are equally good, the one that finds most owes that to chance."""
    taken = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        anomalous = np.arange(60) % 2 == 0
        common = random.normal(size=60) + anomalous
        every = {n: finding(common + random.normal(scale=0.3, size=60), anomalous) for n in range(10)}
        found = choose(every, range(10))
        taken += found.best != 0
        assert found.most == max(every, key=lambda n: every[n].figure)
    assert taken < 10


def test_what_was_not_judged_is_passed_over_and_a_least_lead_is_added() -> None:
    first, second = Finding(0.80, [0.80] * GROUPS), Finding(0.82, [0.82] * GROUPS)
    assert choose({1: first, 2: second}, [0, 1, 2, 3]).best == 2
    assert choose({1: first, 2: second}, [0, 1, 2, 3], least=0.03).best == 1
    assert choose({1: first, 2: Finding(0.80, [0.80] * GROUPS)}, [2, 0, 1]).most == 2
