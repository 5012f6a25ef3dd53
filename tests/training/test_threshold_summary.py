"""The table of thresholds that ends a training."""

import pytest

from fomoad.training import threshold_summary
from tests.support.results import TRAINED


def test_every_choice_has_a_line_and_the_chosen_ones_a_mark() -> None:
    heading, highest, tenth, twentieth, hundredth, advice = threshold_summary.lines(TRAINED)
    assert heading.endswith("made defects found")
    assert highest.split() == [
        "max",
        "(highest",
        "training",
        "score)",
        "16.6",
        "1.6%",
        "0.5%",
        "to",
        "3.2%",
        "0%",
        "<-",
        "suggested",
    ]
    assert "at most 10 % false alarms" in tenth
    assert "70%" in tenth
    assert "<-" not in tenth
    assert twentieth.split()[-3:] == ["50%", "<-", "recommended"]
    assert "takes 99 samples" in hundredth
    assert advice.strip() == (
        "The suggested threshold 16.6 finds 0% of the made defects and flags about 1.6% of new good parts; the "
        "recommended 12.25 finds 50% and flags about 4.9%."
    )


def test_one_threshold_for_both_needs_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    same = TRAINED.model_copy(update={"recommended": TRAINED.suggested, "warning": "Few samples."})
    assert list(threshold_summary.lines(same))[1].endswith("<- suggested and recommended")
    assert len(list(threshold_summary.lines(same))) == 5
    threshold_summary.show("model.tflite", same)
    output = capsys.readouterr().out
    assert output.startswith("Thresholds of model.tflite:\n  threshold")
    assert "model.tflite: Few samples." in output
