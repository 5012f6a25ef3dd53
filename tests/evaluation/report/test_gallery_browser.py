"""The report in a browser: which images are shown, in which order, and that their names stay text."""

import re

import numpy as np

from fomoad.evaluation.report import pictures, render
from tests.support.report_pages import SIDE, expected, matrix, set_slider, settle
from tests.support.results import results


def test_filters_show_the_images_of_their_kind(page, tested):
    threshold = set_slider(page, 9.0)
    page.select_option("#per-page", "192")
    verdicts = {(image.row, image.anomalous, image.score >= threshold) for image in tested.images}
    expected = {
        "wrong": {row for row, truth, flagged in verdicts if truth is not None and truth != flagged},
        "alarm": {row for row, truth, flagged in verdicts if truth is False and flagged},
        "miss": {row for row, truth, flagged in verdicts if truth is True and not flagged},
        "hit": {row for row, truth, flagged in verdicts if truth is True and flagged},
        "pass": {row for row, truth, flagged in verdicts if truth is False and not flagged},
        "flagged": {row for row, truth, flagged in verdicts if truth is None and flagged},
        "unflagged": {row for row, truth, flagged in verdicts if truth is None and not flagged},
        "all": {row for row, _, _ in verdicts},
    }
    for name, images in expected.items():
        page.locator(f'input[name="filter"][value="{name}"]').check(force=True)
        settle(page)
        rows = page.eval_on_selector_all(".card", "cards => cards.map((card) => Number(card.dataset.row))")
        assert set(rows) == images, name
        assert len(rows) == len(images) == int(page.locator(f'[data-count="{name}"]').inner_text()), name


def test_filters_follow_the_threshold(page, tested):
    page.locator('input[name="filter"][value="miss"]').check(force=True)
    set_slider(page, 0)
    assert page.locator(".card").count() == 0
    assert page.locator("#empty").is_visible()


def test_labels_orders_and_pages(page, tested):
    by_score = sorted(tested.images, key=lambda image: (-image.score, image.row))
    page.select_option("#order", "high")
    page.select_option("#per-page", "24")
    settle(page)
    rows = "cards => cards.map((card) => Number(card.dataset.row))"
    assert page.eval_on_selector_all(".card", rows) == [image.row for image in by_score[:24]]
    page.locator("#next").click()
    settle(page)
    assert page.eval_on_selector_all(".card", rows) == [image.row for image in by_score[24:48]]
    page.select_option("#label", "no anomaly")
    settle(page)
    normal = [image.row for image in by_score if image.label == "no anomaly"]
    assert page.eval_on_selector_all(".card", rows) == normal[:24]
    assert page.locator("#page").inner_text() == "Page 1 of 2, 45 images"


def test_a_count_of_the_matrix_shows_its_images(page, tested):
    page.locator('#matrix [data-kind="miss"]').click()
    settle(page)
    assert page.locator(".card").count() == tested.confusion.false_negatives
    assert set(page.locator(".card").evaluate_all("cards => cards.map((c) => c.dataset.kind)")) == {"miss"}


def test_hostile_names_stay_text(browser, tmp_path):
    hostile = results([True, False])
    for image in hostile.images:
        image.file_name = image.label = (
            "<img src=x onerror='document.title=1'></script><script>document.title=1</script>"
        )
    picture = pictures.picture(np.zeros((SIDE, SIDE, 1), np.float32), None)
    (tmp_path / "report.html").write_text(render(hostile, [picture] * 2), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(".card")
    assert page.title() == "model.tflite · anomaly test"
    assert page.locator(".name").first.inner_text() == hostile.images[0].file_name
    page.close()


def test_five_thousand_images_stay_usable(browser, tmp_path):
    """Only a page of cards is in the document, and a move of the slider still recounts all images."""
    anomalous = [row % 5 == 0 for row in range(5000)]
    many = results(anomalous, rows=12, columns=12)
    picture = pictures.picture(np.random.default_rng(0).uniform(0, 255, (96, 96, 3)).astype(np.float32), None)
    (tmp_path / "report.html").write_text(render(many, [picture] * 5000), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 48
    for value in (5.0, 20.0, 12.0):
        threshold = set_slider(page, value)
        counts = expected(many, threshold)
        assert matrix(page)["alarm"] == counts.false_positives
        assert matrix(page)["miss"] == counts.false_negatives
    page.select_option("#order", "near")
    page.locator('input[name="filter"][value="wrong"]').check(force=True)
    settle(page)
    nearest = min(
        (image for image in many.images if image.anomalous != (image.score >= threshold)),
        key=lambda image: abs(image.score - threshold),
    )
    assert page.locator(".card").first.get_attribute("data-row") == str(nearest.row)
    assert re.match(r"Page 1 of \d+, \d+ images", page.locator("#page").inner_text())
    page.close()
