"""Every figure against scikit-learn, and where it has no meaning."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fomoad.metrics import image_metrics


def _scores(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 200))
    anomalous = random.random(count) < random.uniform(0.1, 0.9)
    anomalous[:2] = True, False
    scores = random.gamma(2.0, 3.0, count) + 2 * anomalous
    return np.round(scores) if ties else scores.astype(np.float32), anomalous


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_areas_are_those_of_scikit_learn(seed, ties):
    scores, anomalous = _scores(seed, ties)
    points = image_metrics.operating_points(scores, anomalous)
    assert image_metrics.auroc(points) == pytest.approx(sklearn_metrics.roc_auc_score(anomalous, scores))
    expected = sklearn_metrics.average_precision_score(anomalous, scores)
    assert image_metrics.average_precision(points) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_curves_are_those_of_scikit_learn(seed, ties):
    scores, anomalous = _scores(seed, ties)
    points = image_metrics.operating_points(scores, anomalous)
    rate, recall, thresholds = sklearn_metrics.roc_curve(anomalous, scores, drop_intermediate=False)
    np.testing.assert_allclose(points.false_positive_rate, rate[1:])
    np.testing.assert_allclose(points.recall, recall[1:])
    np.testing.assert_array_equal(points.thresholds, thresholds[1:])
    precision = sklearn_metrics.precision_recall_curve(anomalous, scores)[0]
    np.testing.assert_allclose(points.precision, precision[:-1][::-1])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_scikit_learn_at_every_threshold(seed, ties):
    scores, anomalous = _scores(seed, ties)
    for threshold in [*scores[:10].astype(float), 0.0, float(scores.max()) + 1]:
        counts = image_metrics.confusion(scores, anomalous, threshold)
        flagged = scores >= threshold
        expected = sklearn_metrics.confusion_matrix(anomalous, flagged, labels=[False, True])
        assert [
            [counts.true_negatives, counts.false_positives],
            [counts.false_negatives, counts.true_positives],
        ] == expected.tolist()
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
            anomalous, flagged, average="binary", zero_division=0
        )
        assert (counts.recall, counts.f1) == pytest.approx((recall, f1))
        assert counts.precision == (pytest.approx(precision) if flagged.any() else None)


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_beats_the_best(seed):
    scores, anomalous = _scores(seed, ties=True)
    threshold, best = image_metrics.best_f1(image_metrics.operating_points(scores, anomalous))
    f1 = {t: sklearn_metrics.f1_score(anomalous, scores >= t) for t in np.unique(scores)}
    assert f1[threshold] == pytest.approx(best)
    assert best == pytest.approx(max(f1.values()))


@pytest.mark.parametrize(
    ("anomalous", "with_a_meaning"),
    [([], set()), ([False, False], set()), ([True, True], {"average_precision", "best_f1"})],
)
def test_figures_without_a_meaning_are_none(anomalous, with_a_meaning):
    points = image_metrics.operating_points(np.arange(len(anomalous)), anomalous)
    for name in ("auroc", "average_precision", "best_f1"):
        assert (getattr(image_metrics, name)(points) is not None) == (name in with_a_meaning), name


def test_f1_needs_an_anomaly():
    assert image_metrics.confusion([1, 2], [False, False], 1.5).f1 is None
    assert image_metrics.confusion([1, 2], [False, True], 3.0).f1 == 0


@pytest.mark.parametrize("seed", range(20))
def test_recall_at_a_rate_lies_on_the_curve_of_scikit_learn(seed):
    scores, anomalous = _scores(seed, ties=True)
    points = image_metrics.operating_points(scores, anomalous)
    rates, recalls, _ = sklearn_metrics.roc_curve(anomalous, scores, drop_intermediate=False)
    for rate in (0.0123, 0.0512, 0.3217, 0.9876):
        assert image_metrics.recall_at(points, rate) == pytest.approx(np.interp(rate, rates, recalls))
    assert image_metrics.recall_at(points, 0.0) == recalls[rates == 0].max()
    assert image_metrics.recall_at(points, 1.0) == 1.0
    assert image_metrics.recall_at(image_metrics.operating_points([1, 2], [True, True]), 0.05) is None
