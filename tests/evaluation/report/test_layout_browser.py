"""The report in a browser: what stands on it, on every screen, in every light."""

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from tests.support.report_pages import DASH, SIDE, text
from tests.support.results import results


def test_the_tiles_are_the_results(page, tested):
    tiles = page.locator("#tiles dd").all_inner_texts()
    figures = [tested.auroc, tested.average_precision, tested.pixel.auroc, tested.pixel.aupro]
    assert tiles == [text(value) for value in figures]


def test_unlabelled_images_have_no_figures_but_a_page(browser, tmp_path):
    picture = pictures.picture(np.zeros((SIDE, SIDE, 1), np.float32), None)
    (tmp_path / "report.html").write_text(render(results([None] * 6), [picture] * 6), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(".card")
    assert page.locator("#matrix").is_hidden()
    assert "no test image has a label" in page.locator("#matrix-hint").inner_text()
    assert page.locator("#tiles dd:not(.reason)").all_inner_texts() == [DASH] * 4
    assert page.locator('input[name="filter"]').count() == 3
    page.close()


CONTRASTS = """(elements) => elements.slice(0, 6).map((element) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let behind = element;
  while (behind && (numbers(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const light = (colour) => numbers(colour).slice(0, 3)
    .map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const pair = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)];
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1920])
def test_fits_every_screen_and_text_stands_out(browser, page_file, scheme, width):
    """No sideways scrolling, and a contrast of at least 4.5 (WCAG 2.1, 1.4.3) wherever there is text."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    page.wait_for_selector(".card")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for selector in (
        "h1",
        ".subtitle",
        ".hint",
        ".matrix b",
        ".verdict",
        ".name",
        ".live",
        "#presets button",
        "footer",
    ):
        for contrast in page.eval_on_selector_all(f"{selector}:not(:disabled)", CONTRASTS):
            assert contrast >= 4.5, selector
    page.close()


def test_every_control_has_a_name(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex], [role=img]")].filter((element) => {
          const label = element.labels?.length ? element.labels[0].textContent : "";
          return !(element.getAttribute("aria-label") || label.trim() || element.textContent.trim());
        }).map((element) => element.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
