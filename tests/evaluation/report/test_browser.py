"""The page in a real browser: moved, filtered, hovered over, and held to the results at every threshold."""

import re
import shutil
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from fomoad.evaluation.results import Results
from fomoad.inference.colormap import colours
from fomoad.metrics import image_metrics
from tests.support.results import TRAINED, results

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ANOMALOUS = [True] * 20 + [False] * 45 + [None] * 5
DASH = "\N{EN DASH}"
SIDE = 48


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    masks = np.zeros((len(ANOMALOUS), SIDE, SIDE), bool)
    masks[:20, 10:20, 12:30] = True
    return masks


@pytest.fixture(scope="module")
def tested(masks) -> Results:
    found = results(ANOMALOUS, masks=masks)
    found.model.input.height = found.model.input.width = SIDE
    return found


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, tested, masks):
    random = np.random.default_rng(0)
    drawn = [pictures.picture(random.uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32), mask) for mask in masks]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(tested, drawn), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, page_file) -> Iterator[playwright.Page]:
    """The page, opened from disk; any complaint of the browser or request to a network fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector(".card")
    yield page
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def _settle(page) -> None:
    """Wait until the page has drawn its state: it does so with the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _set_slider(page, value: float) -> float:
    """Move the slider as a hand does; returns the threshold that it snapped to."""
    at = page.evaluate(
        """(value) => {
          const slider = document.getElementById("slider");
          slider.value = value;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          return slider.valueAsNumber;
        }""",
        value,
    )
    _settle(page)
    return at


def _shown(page) -> dict[str, str]:
    return {name: page.locator(f"#live-{name}").inner_text() for name in ("precision", "recall", "f1", "wrong")}


def _matrix(page) -> dict[str, int]:
    return {
        kind: int(page.locator(f'#matrix [data-kind="{kind}"] b').inner_text())
        for kind in ("hit", "miss", "alarm", "pass")
    }


def _expected(tested: Results, threshold: float) -> image_metrics.Confusion:
    labelled = [image for image in tested.images if image.anomalous is not None]
    return image_metrics.confusion(
        [image.score for image in labelled], [bool(image.anomalous) for image in labelled], threshold
    )


def _text(value: float | None) -> str:
    """Three decimals, a half rounded up as JavaScript's toFixed does, or a dash where there is no value."""
    if value is None:
        return DASH
    return str(Decimal(value).quantize(Decimal("0.001"), ROUND_HALF_UP))


def _assert_figures(page, tested: Results, threshold: float) -> None:
    counts = _expected(tested, threshold)
    assert _matrix(page) == {
        "hit": counts.true_positives,
        "miss": counts.false_negatives,
        "alarm": counts.false_positives,
        "pass": counts.true_negatives,
    }
    wrong = counts.false_negatives + counts.false_positives
    assert _shown(page) == {
        "precision": _text(counts.precision),
        "recall": _text(counts.recall),
        "f1": _text(counts.f1),
        "wrong": f"{wrong} of 65",
    }


def test_begins_at_the_threshold_of_the_results(page, tested):
    assert page.locator("#number").input_value() == "16.6"
    _assert_figures(page, tested, 16.6)
    counts = tested.confusion
    assert _matrix(page)["hit"] == counts.true_positives
    assert _shown(page)["f1"] == _text(tested.f1)
    assert (
        "Suggested value is 16.6, based on the top anomaly scores in the training dataset"
        in page.locator("#suggestion").inner_text()
    )


def test_the_tiles_are_the_results(page, tested):
    tiles = page.locator("#tiles dd").all_inner_texts()
    figures = [tested.auroc, tested.average_precision, tested.pixel.auroc, tested.pixel.aupro]
    assert tiles == [_text(value) for value in figures]


def test_the_slider_changes_the_figures_to_those_of_its_threshold(page, tested):
    highest = max(image.score for image in tested.images)
    for share in (0, 0.1, 0.2, 0.35, 0.6, 1):
        threshold = _set_slider(page, share * 1.05 * highest)
        _assert_figures(page, tested, threshold)


def test_the_number_field_takes_any_threshold(page, tested):
    score = tested.images[0].score
    page.locator("#number").fill(repr(score))
    _settle(page)
    _assert_figures(page, tested, score)
    page.locator("#number").fill("-1")
    _settle(page)
    _assert_figures(page, tested, score)


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
        _settle(page)
        _assert_figures(page, tested, thresholds[index])
        assert buttons.nth(index).get_attribute("aria-pressed") == "true"


def test_the_best_f1_button_shows_the_best_f1(page, tested):
    page.get_by_role("button", name="Best F1").click()
    _settle(page)
    assert _shown(page)["f1"] == _text(tested.best_f1.f1)


def test_a_click_on_the_histogram_sets_the_threshold(page, tested):
    box = page.locator("#histogram svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    _settle(page)
    threshold = page.evaluate("() => Number(document.getElementById('number').value)")
    highest = max(image.score for image in tested.images)
    assert threshold == pytest.approx(1.05 * highest / 2, rel=0.02)


def test_filters_show_the_images_of_their_kind(page, tested):
    threshold = _set_slider(page, 9.0)
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
        _settle(page)
        rows = page.eval_on_selector_all(".card", "cards => cards.map((card) => Number(card.dataset.row))")
        assert set(rows) == images, name
        assert len(rows) == len(images) == int(page.locator(f'[data-count="{name}"]').inner_text()), name


def test_filters_follow_the_threshold(page, tested):
    page.locator('input[name="filter"][value="miss"]').check(force=True)
    _set_slider(page, 0)
    assert page.locator(".card").count() == 0
    assert page.locator("#empty").is_visible()


def test_labels_orders_and_pages(page, tested):
    by_score = sorted(tested.images, key=lambda image: (-image.score, image.row))
    page.select_option("#order", "high")
    page.select_option("#per-page", "24")
    _settle(page)
    rows = "cards => cards.map((card) => Number(card.dataset.row))"
    assert page.eval_on_selector_all(".card", rows) == [image.row for image in by_score[:24]]
    page.locator("#next").click()
    _settle(page)
    assert page.eval_on_selector_all(".card", rows) == [image.row for image in by_score[24:48]]
    page.select_option("#label", "no anomaly")
    _settle(page)
    normal = [image.row for image in by_score if image.label == "no anomaly"]
    assert page.eval_on_selector_all(".card", rows) == normal[:24]
    assert page.locator("#page").inner_text() == "Page 1 of 2, 45 images"


def test_a_count_of_the_matrix_shows_its_images(page, tested):
    page.locator('#matrix [data-kind="miss"]').click()
    _settle(page)
    assert page.locator(".card").count() == tested.confusion.false_negatives
    assert set(page.locator(".card").evaluate_all("cards => cards.map((c) => c.dataset.kind)")) == {"miss"}


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
    threshold = _set_slider(page, 8.0)
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
    _settle(page)
    assert strength() == pytest.approx(usual / 2, rel=0.1)
    page.locator("#overlay").uncheck()
    _settle(page)
    assert strength() == 0


def test_masks_are_outlined_and_the_outline_can_be_hidden(page):
    assert page.locator(".outline").count() == 20
    path = page.locator(".outline-front").first.get_attribute("d")
    assert path == "M12 10H30M12 20H30M12 10V20M30 10V20"
    page.locator("#outline").uncheck()
    assert page.locator(".outline").first.is_hidden()


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


def test_every_control_has_a_name(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex], [role=img]")].filter((element) => {
          const label = element.labels?.length ? element.labels[0].textContent : "";
          return !(element.getAttribute("aria-label") || label.trim() || element.textContent.trim());
        }).map((element) => element.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


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
        threshold = _set_slider(page, value)
        counts = _expected(many, threshold)
        assert _matrix(page)["alarm"] == counts.false_positives
        assert _matrix(page)["miss"] == counts.false_negatives
    page.select_option("#order", "near")
    page.locator('input[name="filter"][value="wrong"]').check(force=True)
    _settle(page)
    nearest = min(
        (image for image in many.images if image.anomalous != (image.score >= threshold)),
        key=lambda image: abs(image.score - threshold),
    )
    assert page.locator(".card").first.get_attribute("data-row") == str(nearest.row)
    assert re.match(r"Page 1 of \d+, \d+ images", page.locator("#page").inner_text())
    page.close()
