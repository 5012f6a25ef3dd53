"""A report, opened in Chromium."""

from collections.abc import Iterator

import numpy as np
import pytest

from fomoad.evaluation.report import pictures, render
from fomoad.evaluation.results import Results
from tests.support.browser import launched, watched
from tests.support.report_pages import ANOMALOUS, SIDE
from tests.support.results import results


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


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
    with watched(browser, page_file.as_uri(), viewport={"width": 1280, "height": 900}) as page:
        page.wait_for_selector(".card")
        yield page
