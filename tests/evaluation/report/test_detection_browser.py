"""What made defects say, in a real browser: numbers, curve, pointer, keyboard, narrow and dark."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from scipy import special

from fomoad.detection import summary
from fomoad.detection.trials import Trial
from fomoad.evaluation import made_defects
from fomoad.evaluation.kinds import by_kind
from fomoad.evaluation.report import pictures, render
from fomoad.evaluation.results import Results
from tests.support.browser import watched
from tests.support.results import results

ANOMALOUS = [True] * 30 + [False] * 30
SIDE = 96
DASH = "\N{EN DASH}"


def _masks() -> np.ndarray:
    masks = np.zeros((len(ANOMALOUS), SIDE, SIDE), bool)
    for row in range(30):
        masks[row, 10, 10 : 14 + 2 * row] = True
    return masks


@pytest.fixture(scope="module")
def tested() -> Results:
    """Stains are found the more the larger they are, all scratches, no blur."""
    random = np.random.default_rng(4)
    defects, scores = [], []
    for number in range(180):
        kind = ["stain", "scratch", "blur"][number % 3]
        size = float(np.exp(random.uniform(np.log(2.5), np.log(24))))
        chance = {"stain": special.expit(-8 + 4 * np.log(size)), "scratch": 1.0, "blur": 0.0}[kind]
        middle = tuple(random.uniform(0, SIDE, 2))
        defects.append(Trial(kind, "faint" if number % 2 else "strong", size, middle, number % 20))
        scores.append(2.0 if random.random() < chance else 0.5)
    found = summary.describe(defects, np.array(scores, np.float32), np.zeros(20, np.float32), 1.0, SIDE, "test")
    masks = _masks()
    base = results(ANOMALOUS, masks=masks)
    for row, image in enumerate(base.images[:30]):
        image.score = base.threshold * (1.5 if row > 8 and row % 5 else 0.5)
    real = made_defects.real_defects(base, masks)
    assert real.curve.slope is not None
    return base.model_copy(update={"detection": found, "real_defects": real})


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, tested):
    drawn = [pictures.picture(np.full((SIDE, SIDE, 3), 128, np.float32), mask) for mask in _masks()]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(tested, drawn), encoding="utf-8")
    return path


@contextmanager
def _open(browser, page_file, **options) -> Iterator:
    with watched(browser, page_file.as_uri(), **options) as page:
        page.wait_for_selector("#detection-kinds td")
        yield page


@pytest.fixture
def page(browser, page_file) -> Iterator:
    with _open(browser, page_file, viewport={"width": 1280, "height": 900}) as page:
        yield page


def _row(page, kind: str) -> list[str]:
    return page.locator(f"#detection-kinds tr:has([data-kind={kind}]) td").all_inner_texts()


def _curve(tested: Results, kind: str, contrast: str):
    return next(each for each in tested.detection.curves if (each.kind, each.contrast) == (kind, contrast))


@pytest.mark.parametrize("contrast", ["strong", "faint", "all"])
def test_the_table_gives_the_sizes(page, tested, contrast) -> None:
    page.check(f"#detection-contrast input[value={contrast}]", force=True)
    stain = _curve(tested, "stain", contrast)
    assert stain.a90 < tested.detection.largest
    found, size, sure = _row(page, "stain")
    assert found == f"{stain.found} of {stain.made}"
    assert float(size.removesuffix(" px")) == pytest.approx(stain.a90, abs=0.05)
    if stain.a90_95 is not None and stain.a90_95 <= tested.detection.largest:
        assert float(sure.removesuffix(" px")) == pytest.approx(stain.a90_95, abs=0.05)
    else:
        assert sure == "> 24 px"
    assert _row(page, "scratch")[1] == "≤ 2.5 px"
    assert _row(page, "blur")[1:] == ["> 24 px", DASH]
    assert _row(page, "colour")[1] == DASH


def test_pointer_and_keyboard_read_the_curve(page, tested) -> None:
    page.click("#detection-kinds [data-kind=stain]")
    assert page.locator("#detection-kinds [data-kind=stain]").get_attribute("aria-pressed") == "true"
    curve, real = _curve(tested, "stain", "strong"), tested.real_defects.curve

    def check() -> float:
        size = float(page.locator("#detection-curve").get_attribute("aria-valuenow"))
        text = page.locator("#detection-hint").inner_text()
        chances = [float(word) for word in text.replace("(", "").split(" %")[0].split()[-1:]]
        shown = float(text.split(" %")[1].split()[-1])
        expected = 100 * special.expit(curve.intercept + curve.slope * np.log(size))
        assert chances[0] == pytest.approx(100 * size / SIDE, abs=0.06)
        assert shown == pytest.approx(expected, abs=0.06)
        truth = 100 * special.expit(real.intercept + real.slope * np.log(size))
        assert float(text.split("Real ones: ")[1].split()[0]) == pytest.approx(truth, abs=0.06)
        return size

    box = page.locator("#detection-curve svg").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    first = check()
    page.focus("#detection-curve")
    page.keyboard.press("ArrowRight")
    second = check()
    assert second > first
    page.keyboard.press("ArrowLeft")
    assert check() == pytest.approx(first)


def test_the_map_shows_every_defect_of_the_kind(page, tested) -> None:
    page.check("#detection-contrast input[value=all]", force=True)
    defects = tested.detection.defects
    assert page.locator("#detection-map .spot").count() == len(defects.kind) == 180
    page.click("#detection-kinds [data-kind=blur]")
    assert page.locator("#detection-map .spot.missed").count() == 60
    assert page.locator("#detection-map .spot.found").count() == 0
    spot = page.locator("#detection-map .spot").first
    first = defects.kind.index("blur")
    assert float(spot.get_attribute("cx")) == defects.column[first]
    assert float(spot.get_attribute("cy")) == defects.row[first]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_telephone(browser, page_file, scheme) -> None:
    with _open(browser, page_file, viewport={"width": 380, "height": 800}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        assert page.locator("#detection-curve svg").bounding_box()["width"] > 250


def test_a_page_without_made_defects_has_no_such_part(browser, tmp_path) -> None:
    plain = results([True, False])
    drawn = [pictures.picture(np.full((SIDE, SIDE, 3), 128, np.float32), None)] * 2
    (tmp_path / "report.html").write_text(render(plain, drawn), encoding="utf-8")
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(".card")
    assert page.locator("#detection").count() == 0
    assert errors == []
    page.close()


@pytest.fixture
def kinds_page(browser, tmp_path) -> Iterator:
    tested = results(ANOMALOUS)
    for row in range(30):
        tested.images[row].label = ["dent", "<b>crack</b>", "odd"][row % 3]
    tested = tested.model_copy(update={"kinds": by_kind(tested.images)})
    drawn = [pictures.picture(np.full((SIDE, SIDE, 3), 128, np.float32), None)] * len(ANOMALOUS)
    (tmp_path / "report.html").write_text(render(tested, drawn), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#kinds-table td")
    yield page, tested
    page.close()


def test_the_kinds_follow_the_threshold_and_filter_the_images(kinds_page) -> None:
    page, tested = kinds_page
    for threshold in (tested.threshold, 8.0, 20.0):
        page.fill("#number", str(threshold))
        page.wait_for_timeout(100)
        for label in ("dent", "<b>crack</b>", "odd"):
            scores = [image.score for image in tested.images if image.label == label]
            cells = page.locator("#kinds-table tr", has=page.get_by_text(label, exact=True)).locator("td")
            assert cells.first.inner_text() == f"{sum(score >= threshold for score in scores)} of 10"
        shown = [float(text) for text in page.locator("#kinds-table td:nth-child(3)").all_inner_texts()]
        assert shown == sorted(shown)
    page.click("#kinds-table [data-defect=dent]")
    page.wait_for_timeout(100)
    assert page.locator(".card").count() == 10
    page.click("#kinds-table [data-defect=dent]")
    page.wait_for_timeout(100)
    assert page.locator(".card").count() == 48
