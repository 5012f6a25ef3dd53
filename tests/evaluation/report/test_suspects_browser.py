"""Pictures of suspicious training images, read from the data and shown in a real browser."""

from pathlib import Path

import numpy as np

from fomoad.data.info_file import read_info
from fomoad.data.tiles import Tiling
from fomoad.data.writer import Sample, write_data_directory
from fomoad.evaluation import suspects
from fomoad.evaluation.report import pictures, render
from fomoad.metadata import Suspect
from tests.support.browser import watched
from tests.support.results import results


def _suspect(row: int, name: str) -> Suspect:
    return Suspect(row=row, id=str(row + 1), file_name=name, score=12.5 - row, left_out=row == 1)


def test_the_page_shows_the_suspects_of_the_training(browser, tmp_path: Path) -> None:
    photos = [Sample(np.full((48, 48, 3), 40 * row), False, f"<part> {row}.png") for row in range(5)]
    write_data_directory(tmp_path / "data", photos, [], "0..1", tiling=Tiling(2, 2, 16, 16))
    info = read_info(None, tmp_path / "data")
    named = [_suspect(3, "<part> 3.png"), _suspect(1, "<part> 1.png")]
    shown = suspects.shown(tmp_path / "data", "0..1", info, named)
    assert suspects.shown(tmp_path / "data", "0..1", info, [_suspect(2, "other.png")]) == []
    assert suspects.shown(tmp_path, "0..1", info, named) == []
    drawn = [pictures.picture(np.full((96, 96, 3), 128, np.float32), None) for _ in range(2)]
    path = tmp_path / "report.html"
    path.write_text(render(results([True, False]), drawn, shown), encoding="utf-8")
    for width, scheme in ((1280, "light"), (360, "dark")):
        with watched(browser, path.as_uri(), viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
            items = page.locator("#suspects li").all_inner_texts()
            assert [" ".join(item.split()) for item in items] == [
                "<part> 3.png score 9.5",
                "<part> 1.png score 11.5, left out of the fit",
            ]
            sizes = page.evaluate("() => [...document.querySelectorAll('#suspects img')].map((i) => i.naturalWidth)")
            assert sizes == [48, 48]
            assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
