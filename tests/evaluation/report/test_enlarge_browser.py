"""One image large, in the photo's own proportions, and why a figure is missing, as Chromium shows them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from tests.support.browser import opened
from tests.support.results import results

SIDE = 96


@pytest.fixture
def page(tmp_path: Path) -> Iterator:
    found = results([None, None])
    drawn = [pictures.picture(np.full((SIDE, SIDE, 3), 128, np.float32), None, shape) for shape in (2.5, None)]
    path = tmp_path / "report.html"
    path.write_text(render(found, drawn), encoding="utf-8")
    with opened(path.as_uri()) as page:
        page.wait_for_selector(".card")
        yield page


def test_an_image_is_enlarged_in_its_own_proportions(page) -> None:
    """By a click, a button and a key; scores can be read there, and Escape closes it."""
    dialog = page.locator("#enlarged")
    small = page.locator(".frame").first.bounding_box()
    page.locator(".frame").first.click()
    large = dialog.locator(".frame").bounding_box()
    assert large["width"] / large["height"] == pytest.approx(2.5, rel=0.02)
    assert large["width"] > 3 * small["width"]
    assert "part_0.png" in page.locator("#enlarged-name").inner_text()
    page.mouse.move(large["x"] + large["width"] * 0.9, large["y"] + large["height"] * 0.1)
    assert "row 1 of 5, column 5 of 5" in page.locator("#tooltip").inner_text()
    painted = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    assert dialog.locator("canvas").evaluate(painted)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert dialog.is_hidden()
    page.get_by_role("button", name="Enlarge part_1.png").click()
    square = dialog.locator(".frame").bounding_box()
    assert square["width"] / square["height"] == pytest.approx(1, rel=0.02)
    page.get_by_role("button", name="Close").click()
    assert dialog.is_hidden()
    page.locator(".frame").first.focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()


def test_why_a_figure_is_missing_stands_in_the_page(page) -> None:
    reasons = page.locator(".tiles .absent .reason")
    assert reasons.count() >= 2
    assert all(reasons.nth(index).is_visible() for index in range(reasons.count()))
    assert "label" in reasons.first.inner_text()
