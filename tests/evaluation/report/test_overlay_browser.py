"""The report in a browser: scores and masks over the images, and what the pointer, keys and touch tell."""

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from fomoad.inference.colormap import colours
from tests.support.browser import watched
from tests.support.report_pages import set_slider, settle
from tests.support.results import results


def test_hovering_tells_score_and_position(page, tested):
    frame = page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    text = page.locator("#tooltip").inner_text()
    score = tested.images[0].grid[1][3]
    assert float(text.split()[0]) == pytest.approx(score, rel=1e-3)
    assert "row 2 of 5, column 4 of 5" in text
    page.mouse.move(box["x"] - 5, box["y"] - 5)
    assert page.locator("#tooltip").is_hidden()


def test_arrow_keys_tell_score_and_position(page, tested):
    page.locator("#per-page").focus()
    frame = page.locator(".frame").first
    frame.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    text = page.locator("#tooltip").inner_text()
    assert "row 2 of 5, column 2 of 5" in text
    assert float(text.split()[0]) == pytest.approx(tested.images[0].grid[1][1], rel=1e-3)
    assert "row 2, column 2" in page.locator("#announcement").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tooltip").is_hidden()


def test_what_waits_to_be_announced_gives_way_to_what_is_asked_for_now(page):
    page.locator("#number").fill("3.5")  # announced half a second later
    page.evaluate("() => new Promise(requestAnimationFrame)")
    frame = page.locator(".frame").first
    frame.focus()
    page.keyboard.press("End")
    page.wait_for_timeout(800)
    assert page.locator("#announcement").inner_text().startswith("Score")


def test_touch_tells_score_and_position(browser, page_file, tested):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    frame = page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"])
    assert "row 5 of 5, column 3 of 5" in page.locator("#tooltip").inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    context.close()


CELL_COLOURS = """([row, rows, columns]) => {
  const canvas = document.querySelector(`[data-row="${row}"] canvas`);
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return Array.from({ length: rows * columns }, (_, index) => {
    const at = (part, count, size) => Math.floor(((part + 0.5) * size) / count);
    const [x, y] = [at(index % columns, columns, canvas.width), at(Math.floor(index / columns), rows, canvas.height)];
    const left = Math.round(((index % columns) * canvas.width) / columns) + 1;
    return [[...context.getImageData(x, y, 1, 1).data], [...context.getImageData(left, y, 1, 1).data]];
  });
}"""


def test_cells_have_the_colours_of_their_scores_and_white_borders_from_the_threshold_on(page, tested):
    threshold = set_slider(page, 8.0)
    for row in (0, 1, 30):
        cells = np.array(tested.images[row].grid).ravel()
        found = page.evaluate(CELL_COLOURS, [row, 5, 5])
        middle = np.array([cell[0] for cell in found], float)
        expected = colours(cells, threshold).astype(float)
        np.testing.assert_allclose(middle[:, 3], expected[:, 3], atol=1)
        np.testing.assert_allclose(middle[:, :3], expected[:, :3], atol=12)  # the canvas multiplies by the opacity
        white = [cell[1] == [255, 255, 255, 255] for cell in found]
        assert white == (cells >= threshold).tolist()


def test_the_overlay_can_be_hidden_and_made_stronger(page):
    def strength() -> float:
        return sum(cell[0][3] for cell in page.evaluate(CELL_COLOURS, [0, 5, 5]))

    usual = strength()
    page.evaluate(
        """() => {
          const opacity = document.getElementById("opacity");
          opacity.value = 0.5;
          opacity.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    settle(page)
    assert strength() == pytest.approx(usual / 2, rel=0.1)
    page.locator("#overlay").uncheck()
    settle(page)
    assert strength() == 0


def test_masks_are_outlined_and_the_outline_can_be_hidden(page):
    assert page.locator(".outline").count() == 20
    path = page.locator(".outline-front").first.get_attribute("d")
    assert path == "M12 10H30M12 20H30M12 10V20M30 10V20"
    page.locator("#outline").uncheck()
    assert page.locator(".outline").first.is_hidden()


def test_ignored_cells_are_hatched_and_said_to_be(browser, tmp_path):
    """A grid whose first row is ignored, with scores of 0 there."""
    tested = results([True, False, False])
    ignored = ["#####", *["....."] * 4]
    grid = tested.model.grid.model_copy(update={"ignored": ignored})
    tested = tested.model_copy(update={"model": tested.model.model_copy(update={"grid": grid})})
    for image in tested.images:
        image.grid[0] = [0.0] * 5
    drawn = [pictures.picture(np.full((96, 96, 3), 128, np.float32), None) for _ in range(3)]
    path = tmp_path / "report.html"
    path.write_text(render(tested, drawn), encoding="utf-8")
    with watched(browser, path.as_uri(), viewport={"width": 1280, "height": 900}) as page:
        facts = " ".join(page.locator(".panel-model").inner_text().split())
        assert "5 rows \N{MULTIPLICATION SIGN} 5 columns, of which 5 cells are ignored" in facts
        assert "hatched: ignored cell" in page.locator(".legend").inner_text()
        cells = [cell[0] for cell in page.evaluate(CELL_COLOURS, [0, 5, 5])]
        for red, green, blue, alpha in cells[:5]:  # black or white, and clearly there, though the score is 0
            assert max(red, green, blue) - min(red, green, blue) <= 3
            assert alpha > 90
        page.locator(".card .frame").first.hover(position={"x": 5, "y": 5})
        assert page.locator("#tooltip").inner_text().startswith("0 ignored")
