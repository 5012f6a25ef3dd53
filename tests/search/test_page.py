"""The page of a search in Chromium."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomoad.search.choice import choose
from fomoad.search.page import Agreement, Entry, Results, agreement, findings, page
from tests.support.browser import opened

VALUES = {0: (0.80, 100e3, 80e3, 200.0), 1: (0.78, 300e3, 90e3, 300.0), 2: (0.91, 400e3, 200e3, 900.0)}
WITHOUT = {0: [0.79, 0.81] * 10, 1: [0.78] * 20, 2: [0.91] * 20}
ORDER = [1, 0, 3, 2]


def results(**changes: Any) -> Results:
    """Three candidates that can be had, and one that failed with a hostile reason."""
    entries = [
        Entry(
            number=number,
            parameters={"side": 64 + 32 * number, "scoring_function": "gmm" if number < 2 else "patchcore"},
            values=VALUES.get(number),
            trained=number != 1,
            failure=None if number in VALUES else "</script><script>document.title = 'hurt'</script>",
            details={"selection": {"auroc": VALUES[number][0]}, "without": {"selection": WITHOUT[number]}}
            if number in VALUES
            else {},
        )
        for number in range(4)
    ]
    return Results(
        metric="auroc",
        labelled=False,
        budget={"flash": 358400, "ram": 0, "latency": [], "runtime": "edge-impulse"},
        axes={"side": [64, 96, 128, 160], "scoring_function": ["gmm", "patchcore"]},
        entries=entries,
        front=[0, 2],
        choice=choose(findings([entry for entry in entries if entry.values], "selection", "auroc"), ORDER),
        order=ORDER,
        test={"auroc": 0.9, "recall": 0.5, "aupro": None},
        **changes,
    )


def test_the_page_shows_figures_and_follows_the_limit(tmp_path: Path) -> None:
    """At the budget of 350 KB number 0 finds most, but does not lead number 1 clearly; without a limit number 2 is the
    best; the table sorts and filters."""
    path = tmp_path / "report.html"
    path.write_text(page(results()))
    with opened(path.as_uri()) as browser:
        assert browser.title() == "Search · number 2 is the best"
        assert "made defects" in browser.inner_text("header")
        assert browser.locator("circle.point").count() == 3
        assert browser.inner_text("#limit-text") == "at most 350 KB"
        assert "number 1, 0.7800" in browser.inner_text("#limit-best")
        assert "Number 2 finds most. It leads number 1" in browser.inner_text("#choice")
        assert browser.locator("circle.point.over").count() == 1
        browser.focus("#limit")
        browser.keyboard.press("End")
        assert browser.inner_text("#limit-text") == "no limit"
        assert "number 2, 0.9100" in browser.inner_text("#limit-best")
        browser.select_option("#cost", "3")
        assert "number 2" in browser.inner_text("#limit-best")
        browser.focus("circle[data-number='1']")
        tip = browser.inner_text("#tip")
        assert "side: 96" in tip
        assert "flash 293 KB" in tip
        numbers = "td:first-child"
        assert browser.locator(numbers).all_inner_texts() == ["2", "0", "1", "3"]
        browser.click("th button:has-text('number')")
        assert browser.locator(numbers).all_inner_texts() == ["0", "1", "2", "3"]
        browser.fill("#filter", "gmm 96")
        assert browser.locator(numbers).all_inner_texts() == ["1"]
        for width in (360, 1400):
            browser.set_viewport_size({"width": width, "height": 800})
            assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_limit_line_can_be_dragged(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(results()))
    with opened(path.as_uri()) as browser:
        box = browser.locator("line.grip").bounding_box()
        browser.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        browser.mouse.down()
        browser.mouse.move(box["x"] - 80, box["y"] + box["height"] / 2, steps=4)
        browser.mouse.up()
        assert float(browser.inner_text("#limit-text").split()[2]) < 330


def test_results_are_read_back_as_they_were_written() -> None:
    written = results()
    assert Results.model_validate(json.loads(written.model_dump_json())) == written


def test_made_defects_are_held_beside_labelled_ones() -> None:
    """Number 1 finds most made defects, number 3 most labelled ones; ranks by Spearman's own formula."""
    found = {0: (0.70, 0.80), 1: (0.90, 0.75), 3: (0.85, 0.95)}
    entries = [
        Entry(
            number=number,
            parameters={},
            values=(0.5, 10.0, 10.0, 10.0),
            trained=False,
            failure=None,
            details={
                "made": {"auroc": made},
                "selection": {"auroc": labelled},
                "without": {"made": [made] * 20, "selection": [labelled] * 20},
            },
        )
        for number, (made, labelled) in found.items()
    ]
    failed = Entry(number=2, parameters={}, values=None, trained=False, failure="too large", details={})
    order = [0, 1, 2, 3]
    assert agreement([failed], "auroc", order) is None
    one = agreement([failed, entries[0]], "auroc", order)
    assert one == Agreement(chosen=0, loss=0.0, rank_correlation=None)
    both = agreement([failed, *entries], "auroc", order)
    assert both is not None
    assert (both.chosen, both.loss) == (1, pytest.approx(0.2))
    made_ranks, labelled_ranks = (1, 3, 2), (2, 1, 3)
    differences = sum((a - b) ** 2 for a, b in zip(made_ranks, labelled_ranks, strict=True))
    assert both.rank_correlation == pytest.approx(1 - 6 * differences / (3 * 8))
    text = page(results(agreement=both))
    assert "would have chosen number 1, which finds\n    0.2000 less" in text
