"""`fomoad compare` from two results.json to figures, changed images and a page."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from fomoad.cli import main
from fomoad.errors import UserError
from fomoad.evaluation import comparison
from fomoad.evaluation.results import Results
from tests.support.results import results

ANOMALOUS = [True] * 30 + [False] * 50 + [None] * 4


def _better(first: Results) -> Results:
    """The same images by a model that gives every anomaly 3 more."""
    second = first.model_copy(deep=True)
    for image in second.images:
        if image.anomalous:
            image.score += 3.0
            image.grid[0][0] = image.score
        image.verdict = "anomaly" if image.score >= second.threshold else "no anomaly"
    return second


@pytest.fixture
def first() -> Results:
    return results(ANOMALOUS, threshold=12.0)


def test_figures_differ_as_scikit_learn_says(first: Results) -> None:
    second = _better(first)
    found = {each.name: each for each in comparison.compare(first, second, "a", "b").figures}
    truth = np.array(ANOMALOUS[:80], bool)
    for results_, value in ((first, "first"), (second, "second")):
        scores = np.array([image.score for image in results_.images[:80]])
        flagged = scores >= 12
        assert getattr(found["AUROC"], value) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))
        assert getattr(found["recall"], value) == pytest.approx(sklearn_metrics.recall_score(truth, flagged))
        assert getattr(found["F1"], value) == pytest.approx(sklearn_metrics.f1_score(truth, flagged))
        assert getattr(found["false alarms"], value) == pytest.approx(flagged[~truth].mean())
    for figure in found.values():
        assert figure.difference == pytest.approx(figure.second - figure.first)
        assert figure.interval.low <= figure.difference <= figure.interval.high
    assert found["AUROC"].method == "DeLong"
    assert found["recall"].p_value < 0.05
    assert found["false alarms"].difference == 0
    assert found["false alarms"].p_value == 1


def test_photos_of_one_part_are_drawn_together(first: Results) -> None:
    """DeLong's variance would take them as independent."""
    second = _better(first)
    for each in (first, second):
        for image in each.images:
            image.id = str(image.row // 2)
    found = comparison.compare(first, second, "a", "b")
    assert found.samples == 42
    assert {figure.method for figure in found.figures} == {"paired bootstrap"}


def test_verdicts_are_counted_and_tested(first: Results) -> None:
    found = comparison.compare(first, _better(first), "a", "b")
    defects, good = found.verdicts
    assert (good.only_first_right, good.only_second_right, good.p_value) == (0, 0, 1)
    assert defects.both_right + defects.only_first_right + defects.only_second_right + defects.both_wrong == 30
    assert defects.only_second_right == len(found.changed) > 3
    assert defects.p_value == pytest.approx(stats.binomtest(0, len(found.changed)).pvalue)
    assert all(image.anomalous and image.second_verdict == "anomaly" for image in found.changed)


def test_the_command_writes_a_page_that_shows_what_changed(first: Results, tmp_path: Path) -> None:
    second = _better(first)
    for name, each in (("a", first), ("b", second)):
        each.images[0].file_name = "<script>alert(1)</script>"
        (tmp_path / f"{name}.json").write_text(each.model_dump_json())
    files = [str(tmp_path / f"{name}.json") for name in "ab"]
    assert main(["compare", *files, "--report-directory", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert f"Defects that only B finds ({len(written['changed'])})" in page
    assert "False alarms" not in page
    assert page.count('class="card"') == len(written["changed"])
    assert page.count("data:image/png;base64,") == 2 * len(written["changed"])
    assert "<script" not in page
    assert "default-src 'none'" in page
    for row in (image["row"] for image in written["changed"]):
        assert f'data-row="{row}"' in page


def test_equal_models_have_no_changed_image(first: Results, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(first.model_dump_json())
    found = comparison.run(tmp_path / "a.json", tmp_path / "a.json", tmp_path / "out")
    assert found.changed == []
    assert "Both models call every image alike" in (tmp_path / "out" / "comparison.html").read_text()


@pytest.mark.parametrize("anomalous", [[None] * 4, [True] * 4, [False] * 4, [True, False]])
def test_figures_without_a_meaning_are_left_out(anomalous: list[bool | None], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(results(anomalous).model_dump_json())
    names = {
        figure.name for figure in comparison.run(tmp_path / "a.json", tmp_path / "a.json", tmp_path / "out").figures
    }
    expected = {"recall", "F1"} if True in anomalous else set()
    expected |= {"false alarms"} if False in anomalous else set()
    assert names == expected | ({"AUROC"} if len(set(anomalous)) == 2 else set())


def test_other_images_are_refused(first: Results, tmp_path: Path) -> None:
    fewer, renamed, relabelled = (first.model_copy(deep=True) for _ in range(3))
    fewer.images.pop()
    renamed.images[3].file_name = "other.png"
    relabelled.images[3].anomalous = False
    for other, sentence in (
        (fewer, "84 and of 83 images"),
        (renamed, r"part_3\.png \(an anomaly\) in the first results and other\.png \(an anomaly\)"),
        (relabelled, r"part_3\.png \(normal\) in the second"),
    ):
        with pytest.raises(UserError, match=sentence):
            comparison.check_same_images(first, other)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1}'])
def test_damaged_results_are_refused_and_nothing_is_written(first: Results, tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(first.model_dump_json())
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(UserError, match=r"b\.json"):
        comparison.run(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()
