"""Intervals cover what they should, and DeLong's variance is that of its definition."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from fomoad.evaluation import uncertainty


def _images(seed: int, count: int = 120, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    anomalous = np.arange(count) < count // 3
    scores = random.normal(size=count) + anomalous
    return (np.round(scores, 1) if ties else scores), anomalous


@pytest.mark.parametrize("ties", [False, True])
def test_the_weighted_area_is_scikit_learns(ties: bool) -> None:
    scores, anomalous = _images(0, ties=ties)
    weights = np.random.default_rng(1).integers(0, 4, len(scores)).astype(float)
    expected = sklearn_metrics.roc_auc_score(anomalous, scores, sample_weight=weights)
    assert uncertainty.weighted_auroc(scores, anomalous)(weights) == pytest.approx(expected)


def test_weighted_shares_and_f1_are_those_of_repeated_images() -> None:
    scores, anomalous = _images(1)
    flagged = (scores > 0.5).astype(float)
    weights = np.random.default_rng(1).integers(0, 4, len(scores))
    repeated = np.repeat(np.arange(len(scores)), weights)
    recall = uncertainty.weighted_share(flagged, anomalous)(weights.astype(float))
    assert recall == pytest.approx(flagged[repeated][anomalous[repeated]].mean())
    f1 = uncertainty.weighted_f1(flagged, anomalous)(weights.astype(float))
    assert f1 == pytest.approx(sklearn_metrics.f1_score(anomalous[repeated], flagged[repeated]))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(2).random(400)
    statistic = uncertainty.weighted_share(values, np.ones(400, bool))
    low, high = uncertainty.intervals({"mean": statistic}, [str(i) for i in range(400)])["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_photos_of_one_part_are_no_independent_evidence() -> None:
    """Four copies of each image: the interval is that of the images, not half as wide."""
    values = np.random.default_rng(3).random(100)
    single = uncertainty.intervals({"mean": lambda w: w @ values / w.sum()}, [str(i) for i in range(100)])["mean"]
    copies, ids = np.repeat(values, 4), [str(i // 4) for i in range(400)]
    grouped = uncertainty.intervals({"mean": lambda w: w @ copies / w.sum()}, ids)["mean"]
    np.testing.assert_allclose(grouped, single, atol=0.01)


def test_a_figure_without_meaning_in_some_draws_leaves_them_out() -> None:
    anomalous = np.array([True] + [False] * 9)
    found = uncertainty.intervals(
        {
            "recall": uncertainty.weighted_share(np.ones(10), anomalous),
            "never": uncertainty.weighted_share(np.ones(10), np.zeros(10, bool)),
        },
        [str(i) for i in range(10)],
    )
    assert found == {"recall": (1.0, 1.0)}


def test_none_of_few_is_not_none_of_all() -> None:
    """Drawing from 26 passed parts again always gives 26 passed ones; the exact bound counts samples."""
    among, ids = np.ones(26, bool), [str(i // 2) for i in range(26)]
    low, high = uncertainty.share_interval((0.0, 0.0), among, ids, 0.0)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 13)))
    assert uncertainty.share_interval((0.1, 0.4), among, ids, 0.2) == (0.1, 0.4)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_its_definition(ties: bool) -> None:
    """Every pair of an anomalous and a normal image, one by one."""
    first, anomalous = _images(4, 60, ties)
    second, _ = _images(5, 60, ties)
    second = first + second

    def parts(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = [[(a > n) + (a == n) / 2 for n in scores[~anomalous]] for a in scores[anomalous]]
        return np.mean(pairs, axis=1), np.mean(pairs, axis=0)

    (a1, n1), (a2, n2) = parts(first), parts(second)
    variance = np.var(a2 - a1, ddof=1) / len(a1) + np.var(n2 - n1, ddof=1) / len(n1)
    areas = [sklearn_metrics.roc_auc_score(anomalous, scores) for scores in (first, second)]
    found = uncertainty.delong(first, second, anomalous)
    assert found.value == pytest.approx(areas[1] - areas[0])
    assert found.high - found.low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(variance))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(areas[1] - areas[0]) / np.sqrt(variance)))


def test_equal_models_do_not_differ() -> None:
    scores, anomalous = _images(6)
    assert uncertainty.delong(scores, scores, anomalous) == uncertainty.Difference(0.0, 0.0, 0.0, 1.0)
    area = uncertainty.weighted_auroc(scores, anomalous)
    assert uncertainty.paired_difference(area, area, [str(i) for i in range(120)]).p_value == 1.0


def test_paired_draws_agree_with_delong() -> None:
    first, anomalous = _images(7, 300)
    second = first + 0.6 * anomalous
    delong = uncertainty.delong(first, second, anomalous)
    areas = [uncertainty.weighted_auroc(scores, anomalous) for scores in (first, second)]
    drawn = uncertainty.paired_difference(*areas, [str(i) for i in range(300)])
    assert drawn.value == pytest.approx(delong.value)
    assert drawn.high - drawn.low == pytest.approx(delong.high - delong.low, rel=0.15)
    assert drawn.p_value < 0.01
    assert delong.p_value < 0.01
