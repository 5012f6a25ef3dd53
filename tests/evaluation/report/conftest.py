"""A report, opened in Chromium."""

from collections.abc import Iterator

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from fomoad.evaluation.results import Results
from tests.support.browser import CHROMIUM, QUIET
from tests.support.report_pages import ANOMALOUS, SIDE
from tests.support.results import results


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
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
def page(browser, page_file) -> Iterator:
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
