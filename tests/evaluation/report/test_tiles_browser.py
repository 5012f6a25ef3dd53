"""A photo of joined tiles in a real browser: one grid over the whole picture, in the page and enlarged."""

import numpy as np

from fomoad.data.tiles import Tiling
from fomoad.evaluation.report import pictures, render
from fomoad.evaluation.results import PhotoSize
from fomoad.geometry import Axis, CellGeometry
from tests.support.browser import watched
from tests.support.results import results

TILING = Tiling(2, 3, 64, 64)
HEIGHT, WIDTH = TILING.photo_shape(96, 96)


def test_the_joined_map_lies_over_the_whole_photo(browser, tmp_path) -> None:
    axis = Axis(5, 15.5, 16.0, 24.0)
    cells = TILING.cells(CellGeometry(axis, axis))
    rows, columns = cells.shape
    tested = results([True, False], rows=rows, columns=columns, cells=cells)
    size = {"photo": PhotoSize(height=HEIGHT, width=WIDTH)}
    image = tested.model.input.model_copy(update={"tiles": TILING})
    tested = tested.model_copy(update={"model": tested.model.model_copy(update={**size, "input": image})})
    drawn = [pictures.picture(np.full((HEIGHT, WIDTH, 3), 128, np.float32), None) for _ in range(2)]
    path = tmp_path / "report.html"
    path.write_text(render(tested, drawn), encoding="utf-8")
    with watched(browser, path.as_uri(), viewport={"width": 1280, "height": 900}) as page:
        assert "cut into 2 \N{MULTIPLICATION SIGN} 3 tiles" in " ".join(
            page.locator(".panel-model").inner_text().split()
        )
        frame = page.locator(".card .frame").first
        box = frame.bounding_box()
        assert abs(box["width"] / box["height"] - WIDTH / HEIGHT) < 0.03
        frame.click(position={"x": 5, "y": 5})
        large = page.locator("#enlarged .frame")
        large_box = large.bounding_box()
        assert large_box["width"] > 2 * box["width"]
        # The cell in row 6, column 10 of the joined map: where its middle lies on the photo.
        y, x = (15.5 + 5 * 16) / HEIGHT, (15.5 + 9 * 16) / WIDTH
        large.hover(position={"x": x * large_box["width"], "y": y * large_box["height"]})
        told = page.locator("#tooltip").inner_text()
        assert f"row 6 of {rows}, column 10 of {columns}" in told
        assert f"{float(f'{tested.images[0].grid[5][9]:.4g}'):g}" in told.split()[0]
