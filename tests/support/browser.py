"""Chromium for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def launched() -> Iterator:
    """Chromium. The test is skipped where it or playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def watched(browser, url: str, **options) -> Iterator:
    """A page of a browser. Any complaint, or a request to another origin, fails the test."""
    origin = "/".join(url.split("/")[:3])
    complaints, requests = [], []
    page = browser.new_page(**options)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    yield page
    page.close()
    assert complaints == [], complaints
    assert [each for each in requests if not each.startswith((origin, "data:"))] == []


@contextmanager
def opened(url: str) -> Iterator:
    """A watched page in a Chromium of its own."""
    with launched() as browser, watched(browser, url, viewport={"width": 1100, "height": 900}) as page:
        yield page
