"""What results.json says, from known scores."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fomoad.evaluation.results import Results
from tests.support.results import grids, results

MIXED = [True] * 12 + [False] * 20 + [None] * 3


def _values(content):
    if isinstance(content, dict):
        content = list(content.values())
    return [v for item in content for v in _values(item)] if isinstance(content, list) else [content]


def test_figures_are_those_of_the_labelled_images():
    found = results(MIXED)
    scores = grids(MIXED).max(axis=(1, 2))[:32]
    truth = [bool(flag) for flag in MIXED[:32]]
    assert found.auroc == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))
    assert found.average_precision == pytest.approx(sklearn_metrics.average_precision_score(truth, scores))
    assert found.f1 == pytest.approx(sklearn_metrics.f1_score(truth, scores >= 16.6))
    matrix = sklearn_metrics.confusion_matrix(truth, scores >= 16.6)
    assert [
        [found.confusion.true_negatives, found.confusion.false_positives],
        [found.confusion.false_negatives, found.confusion.true_positives],
    ] == matrix.tolist()
    assert found.undefined.keys() == {"pixel"}


def test_every_image_can_be_found_again():
    image = results(MIXED).images[7]
    assert (image.row, image.id, image.file_name, image.label) == (7, "1007", "part_7.png", "anomaly")
    np.testing.assert_array_equal(np.array(image.grid, np.float32), grids(MIXED)[7])
    assert image.score == np.max(image.grid)


def test_a_score_at_the_threshold_is_an_anomaly():
    score = float(grids(MIXED)[3].max())
    assert results(MIXED, threshold=score).images[3].verdict == "anomaly"
    assert results(MIXED, threshold=math.nextafter(score, math.inf)).images[3].verdict == "no anomaly"


@pytest.mark.parametrize(
    ("anomalous", "undefined", "reason"),
    [
        (
            [None] * 4,
            {"auroc", "average_precision", "f1", "precision", "recall", "false_positive_rate"},
            "no test image has a label",
        ),
        ([False] * 4, {"auroc", "average_precision", "f1", "precision", "recall"}, "as an anomaly"),
        ([True] * 4, {"auroc", "precision", "false_positive_rate"}, "as normal"),
    ],
)
def test_figures_without_a_meaning_are_null_with_the_reason(anomalous, undefined, reason):
    found = results(anomalous, threshold=1e6)
    written = json.loads(found.model_dump_json())
    assert written["undefined"].keys() == undefined | {"pixel"}
    assert reason in written["undefined"]["auroc"]
    assert {name for name in undefined if written[name] is None} == undefined


@pytest.mark.parametrize("anomalous", [MIXED, [None], [False, False], [True], [True, False]])
def test_the_file_is_strict_json_and_reads_back(anomalous):
    found = results(anomalous)
    text = found.model_dump_json()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(math.isfinite(v) for v in _values(content) if isinstance(v, float))
    assert Results.model_validate_json(text) == found


def test_masks_give_figures_per_pixel():
    masks = np.zeros((32, 40, 40), bool)
    masks[:12, :10, :10] = True
    found = results(MIXED[:32], masks=masks)
    assert found.pixel.regions == 12
    assert 0 < found.pixel.aupro < 1
    assert found.undefined == {}


def test_masks_without_a_defect_give_none():
    found = results(MIXED[:32], masks=np.zeros((32, 40, 40), bool))
    assert found.pixel is None
    assert "mark no defect" in found.undefined["pixel"]


def test_figures_come_with_intervals():
    found = results(MIXED)
    assert found.intervals.keys() == {"auroc", "recall", "false_positive_rate", "f1"}
    for name, interval in found.intervals.items():
        assert 0 <= interval.low <= getattr(found, name) <= interval.high <= 1
    assert results(MIXED, threshold=1e6).intervals["false_positive_rate"].high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert results([None] * 4).intervals == {}
    assert results([False] * 4, threshold=1e6).intervals.keys() == {"false_positive_rate"}


def test_the_best_f1_is_told_from_what_it_will_be():
    found = results(MIXED).best_f1
    assert found.cross_validated < found.f1
    assert found.cross_validated_interval.low < found.cross_validated < found.cross_validated_interval.high
    assert results([True, False, False]).best_f1.cross_validated is None
