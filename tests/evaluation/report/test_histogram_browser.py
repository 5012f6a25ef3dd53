"""The report in a browser: the histogram, its axes, and thresholds set by a click on it."""

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from tests.support.report_pages import SIDE, settle
from tests.support.results import results


def test_a_click_on_the_histogram_sets_the_threshold(page, tested):
    box = page.locator("#histogram svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    settle(page)
    threshold = page.evaluate("() => Number(document.getElementById('number').value)")
    end = 1.05 * max(image.score for image in tested.images)
    assert page.locator("#axis").input_value() == "linear"
    assert threshold == pytest.approx(end / 2, rel=0.02)
    for axis, middle in (("root", end / 4), ("log", end / 1000 * np.expm1(np.log1p(1000) / 2))):
        page.select_option("#axis", axis)
        settle(page)
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
        settle(page)
        assert page.evaluate("() => Number(document.getElementById('number').value)") == pytest.approx(middle, rel=0.08)


@pytest.mark.parametrize(("power", "axis"), [(1, "linear"), (4, "root"), (9, "log")])
def test_scores_that_span_decades_get_an_axis_that_shows_them(browser, tmp_path, power, axis):
    """Every bar of every class lies within the chart, and most images are not in the first bar."""
    spread = results([True] * 20 + [False] * 60)
    for image in spread.images:
        image.score = 40.0 * ((image.row + 1) / 80) ** power
    picture = pictures.picture(np.zeros((SIDE, SIDE, 1), np.float32), None)
    (tmp_path / "report.html").write_text(render(spread, [picture] * 80), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#histogram rect")
    assert page.locator("#axis").input_value() == axis
    bars = page.locator("#histogram .series-normal rect title").all_text_contents()
    counts = [int(text.split(" ")[0]) for text in bars]
    assert sum(counts) == 60
    assert max(counts) <= 30
    ticks = page.locator("#histogram .tick").all_text_contents()
    assert len(set(ticks)) == len(ticks) > 3
    page.close()
