"""Cells, groups and colours over an image, against brute force."""

from collections import deque

import numpy as np
import pytest
from PIL import Image

from fomoad.data.image_file import place
from fomoad.geometry import Axis, CellGeometry, evenly
from fomoad.inference.colormap import colours
from fomoad.inference.overlay import draw, region_box, regions


def _groups(flagged: np.ndarray) -> list[set[tuple[int, int]]]:
    """Flood fill over the eight neighbours, cell by cell."""
    waiting = {(int(r), int(c)) for r, c in zip(*np.nonzero(flagged), strict=True)}
    groups = []
    while waiting:
        start = min(waiting)
        waiting.remove(start)
        group, queue = {start}, deque([start])
        while queue:
            row, column = queue.popleft()
            for near in [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in waiting:
                    waiting.remove(near)
                    group.add(near)
                    queue.append(near)
        groups.append(group)
    return groups


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (7, 12)])
def test_groups_are_those_of_a_flood_fill(share: float, shape: tuple[int, int]) -> None:
    for seed in range(5):
        flagged = np.random.default_rng(seed).random(shape) < share
        found = regions(flagged)
        assert [{tuple(map(int, cell)) for cell in np.argwhere(group)} for group, _ in found] == _groups(flagged)
        for group, (rows, columns) in found:
            cells = np.argwhere(group)
            assert (rows.start, columns.start) == tuple(cells.min(axis=0))
            assert (rows.stop - 1, columns.stop - 1) == tuple(cells.max(axis=0))


def test_boxes_in_pixels() -> None:
    """Worked by hand: a mixture's 5 x 5 cells on 96 pixels, from a photo of 1920 x 1080.

    The windows of the second row end at 19 and 43 pixels, those of the first three columns at 3 and 59.
    """
    cells = CellGeometry(Axis(5, 15.0, 16.0, 24.0), Axis(5, 15.0, 16.0, 24.0))
    bounds = (slice(1, 2), slice(0, 3))
    assert region_box(bounds, cells, place((1920, 1080), (96, 96), "squash")) == (60, 214, 1180, 484)
    assert region_box(bounds, cells, place((1920, 1080), (96, 96), "fit-short")) == (454, 214, 1084, 484)
    # Letterboxed: 96 x 54 pixels from row 21, so the windows begin in the padding.
    assert region_box(bounds, cells, place((1920, 1080), (96, 96), "fit-long")) == (60, 0, 1180, 440)
    assert region_box(bounds, cells, place((296, 196), (96, 96), "crop")) == (103, 69, 159, 93)
    finer = CellGeometry(Axis(12, 6.0, 8.0, 8.0), Axis(12, 6.0, 8.0, 8.0))
    assert region_box((slice(0, 2), slice(0, 5)), finer, place((1920, 1080), (96, 96), "fit-long")) is None


def test_colours_and_borders() -> None:
    image = Image.new("RGB", (100, 80), (100, 110, 120))
    grid = np.array([[0.0, 2.0], [5.0, 0.5]], np.float32)
    placed = place((100, 80), (64, 64), "squash")
    drawn = np.asarray(draw(image, grid, 2.0, evenly((2, 2), (64, 64)), placed)).astype(int)
    assert drawn.shape == (80, 100, 3)
    for row in (0, 1):
        for column in (0, 1):
            *colour, alpha = colours(grid, 2.0)[row, column].astype(float)
            expected = np.array([100, 110, 120]) + (np.array(colour) - [100, 110, 120]) * alpha / 255
            np.testing.assert_allclose(drawn[row * 40 + 20, column * 50 + 25], expected, atol=2)
            corner = drawn[row * 40, column * 50]
            assert (corner.min() == 255) == (grid[row, column] >= 2.0)
    assert drawn[39, 99].tolist() == [255, 255, 255]
    assert drawn[79, 0].tolist() == [255, 255, 255]


def test_ignored_cells_are_dimmed_and_never_framed() -> None:
    image = Image.new("RGB", (80, 80), (200, 200, 200))
    ignored = np.array([[True, False], [False, False]])
    cells, geometry = evenly((2, 2), (64, 64)), place((80, 80), (64, 64), "squash")
    drawn = np.asarray(draw(image, np.full((2, 2), 5, np.float32), 2.0, cells, geometry, ignored))
    plain = np.asarray(draw(image, np.full((2, 2), 5, np.float32), 2.0, cells, geometry))
    np.testing.assert_array_equal(drawn[40:], plain[40:])
    np.testing.assert_array_equal(drawn[:, 40:], plain[:, 40:])
    assert np.ptp(drawn[10, 10]) == 0
    assert drawn[10, 10, 0] == pytest.approx(200 * (1 - 110 / 255), abs=1)
    assert drawn[0, 0].max() < 200
    assert drawn[39, 0, 0] > drawn[10, 10, 0]  # the line across it
