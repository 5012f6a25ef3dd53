"""The report in a browser: the threshold, its buttons, its table, and every figure that follows from it."""

import numpy as np

from fomoad.evaluation.report import pictures, render
from tests.support.report_pages import SIDE, assert_figures, expected, matrix, set_slider, settle, shown, text
from tests.support.results import TRAINED, results


def test_begins_at_the_threshold_of_the_results(page, tested):
    assert page.locator("#number").input_value() == "16.6"
    assert_figures(page, tested, 16.6)
    counts = tested.confusion
    assert matrix(page)["hit"] == counts.true_positives
    assert shown(page)["f1"] == text(tested.f1)
    assert (
        "Suggested value is 16.6, based on the top anomaly scores in the training dataset"
        in page.locator("#suggestion").inner_text()
    )


def test_the_slider_changes_the_figures_to_those_of_its_threshold(page, tested):
    highest = max(image.score for image in tested.images)
    for share in (0, 0.1, 0.2, 0.35, 0.6, 1):
        threshold = set_slider(page, share * 1.05 * highest)
        assert_figures(page, tested, threshold)


def test_the_number_field_takes_any_threshold(page, tested):
    score = tested.images[0].score
    page.locator("#number").fill(repr(score))
    settle(page)
    assert_figures(page, tested, score)
    page.locator("#number").fill("-1")
    settle(page)
    assert_figures(page, tested, score)


def test_the_buttons_set_their_thresholds(page, tested):
    buttons = page.locator("#presets button")
    texts = buttons.all_inner_texts()
    assert [text.split(" ")[0] for text in texts[:3]] == ["Suggested", "Recommended", "Best"]
    assert buttons.nth(5).is_disabled()
    assert "at least 99 training samples" in buttons.nth(5).get_attribute("title")
    conformal = [choice.threshold for choice in TRAINED.choices[1:3]]
    thresholds = [TRAINED.suggested, TRAINED.recommended, tested.best_f1.threshold, *conformal]
    for index in (1, 2, 3, 4, 0):
        buttons.nth(index).click()
        settle(page)
        assert_figures(page, tested, thresholds[index])
        assert buttons.nth(index).get_attribute("aria-pressed") == "true"


def test_the_best_f1_button_shows_the_best_f1(page, tested):
    page.get_by_role("button", name="Best F1").click()
    settle(page)
    assert shown(page)["f1"] == text(tested.best_f1.f1)


def test_says_where_the_threshold_comes_from(browser, tmp_path):
    given = results([True, False], threshold=7.0)
    given.threshold_source = "command line"
    given.trained_threshold = TRAINED.model_copy(update={"method": "conformal", "suggested": 12.25})
    picture = pictures.picture(np.zeros((SIDE, SIDE, 1), np.float32), None)
    (tmp_path / "report.html").write_text(render(given, [picture] * 2), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(".card")
    text = page.locator("#suggestion").inner_text()
    assert "Testing began with 7, given on the command line." in text
    assert "Suggested value is 12.25, based on scores of training images the model was not fitted on" in text
    assert "at most 5 % of new normal images are flagged" in text
    assert page.locator('#presets [aria-pressed="true"]').inner_text() == "Given 7"
    page.close()


def test_the_table_says_what_each_threshold_promises_and_does_here(page, tested):
    rows = [row.split("\t") for row in page.locator("#threshold-rows tr").all_inner_texts()]
    assert [row[0] for row in rows[:3]] == [
        "max (suggested)",
        "\u2264 10 % false alarms",
        "\u2264 5 % false alarms (recommended)",
    ]
    assert rows[3][1] == "needs at least 99 training samples"
    for row, choice in zip(rows, TRAINED.choices[:3], strict=False):
        assert float(row[1]) == choice.threshold
        assert row[4] == f"{100 * choice.made_defects_found:g} %"
        counts = expected(tested, choice.threshold)
        assert row[5:] == [text(counts.false_positive_rate), text(counts.recall)]


def test_what_the_recommended_threshold_would_do_stands_beside_the_suggested(page):
    words = page.locator("#suggestion").inner_text()
    assert "Recommended value is 12.25, expected to flag 4.9 % of new good images" in words
    assert "it finds 50 % of the made defects" in words


def test_figures_come_with_their_intervals(page, tested):
    intervals = tested.intervals
    assert page.locator("#auroc-interval").inner_text() == (
        f"AUROC {text(intervals['auroc'].low)} to {text(intervals['auroc'].high)}"
    )
    recall = intervals["recall"]
    assert (
        f"recall {text(tested.recall)} ({text(recall.low)} to {text(recall.high)})"
        in page.locator("#intervals").inner_text()
    )


def test_the_best_f1_is_said_to_be_hindsight(page, tested):
    button = page.get_by_role("button", name="Best F1 in hindsight")
    assert text(tested.best_f1.cross_validated) in button.get_attribute("title")
