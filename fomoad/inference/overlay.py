"""A score grid over its image: boxes round what is flagged, and a picture in the report's colours."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fomoad.data.image_file import Box, Placement
from fomoad.geometry import CellGeometry
from fomoad.inference.colormap import colours

WHITE = (255, 255, 255, 255)
DARK_EDGE = (0, 0, 0, 90)
"""Beside the white border, so that it shows on white parts too."""

DIMMED = (0, 0, 0, 110)
CROSSED = (255, 255, 255, 150)
"""Of a cell that does not count."""

CELLS_PER_BORDER = 18
"""A border is this much thinner than its cell."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels of the image, right and bottom excluded."""


def region_box(bounds: tuple[slice, slice], cells: CellGeometry, geometry: Placement) -> PixelBox | None:
    """Return what the windows of some rows and columns of a grid show of the image; None where that is all padding."""
    top, bottom = cells.vertical.window_of(bounds[0].start, bounds[0].stop)
    left, right = cells.horizontal.window_of(bounds[1].start, bounds[1].stop)
    return _in_image((left, top, right, bottom), geometry)


def tile_box(row: int, column: int, cells: CellGeometry, geometry: Placement) -> PixelBox | None:
    """Return the part of the image that a cell is drawn on: half way to its neighbours; None where it is padding."""
    top, bottom = cells.vertical.tile_of(row, row + 1)
    left, right = cells.horizontal.tile_of(column, column + 1)
    return _in_image((left, top, right, bottom), geometry)


def _in_image(of_input: Box, geometry: Placement) -> PixelBox | None:
    left, top, right, bottom = (round(edge) for edge in geometry.to_image(of_input))
    return (left, top, right, bottom) if left < right and top < bottom else None


def regions(flagged: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], tuple[slice, slice]]]:
    """Return the connected groups of flagged cells (rows, columns) and their bounds, in reading order.

    Cells that touch at a corner belong together.
    """
    found = []
    remaining = flagged.copy()
    while remaining.any():
        group = np.zeros_like(flagged)
        group[np.unravel_index(int(remaining.argmax()), flagged.shape)] = True
        while True:
            grown = _with_neighbours(group) & flagged
            if (grown == group).all():
                break
            group = grown
        remaining &= ~group
        rows, columns = (np.flatnonzero(group.any(axis=axis)) for axis in (1, 0))
        found.append((group, (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))))
    return found


def draw(
    image: Image.Image,
    grid: NDArray[np.float32],
    threshold: float,
    cells: CellGeometry,
    geometry: Placement,
    ignored: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """Return the image (RGB) with every cell in its score's colour and a white border round the flagged ones.

    Cells that are `ignored` (rows, columns) are dimmed and crossed by a line.
    """
    fills = Image.new("RGBA", image.size)
    borders = Image.new("RGBA", image.size)
    fill, border = ImageDraw.Draw(fills), ImageDraw.Draw(borders)
    shades = colours(grid, threshold)
    for row, column, box in _tiles(cells, geometry):
        left, top, right, bottom = box
        corners = (left, top, right - 1, bottom - 1)
        if ignored is not None and ignored[row, column]:
            fill.rectangle(corners, fill=DIMMED)
            fill.line((left, bottom - 1, right - 1, top), fill=CROSSED)
            continue
        fill.rectangle(corners, fill=tuple(int(part) for part in shades[row, column]))
        if grid[row, column] >= threshold:
            thickness = max(1, min(right - left, bottom - top) // CELLS_PER_BORDER)
            border.rectangle(corners, outline=DARK_EDGE, width=thickness + 1)
            border.rectangle(corners, outline=WHITE, width=thickness)
    drawn = Image.alpha_composite(image.convert("RGBA"), fills)
    return Image.alpha_composite(drawn, borders).convert("RGB")


def _tiles(cells: CellGeometry, geometry: Placement) -> Iterator[tuple[int, int, PixelBox]]:
    """Yield row, column and box of every cell that shows a part of the image."""
    for row in range(cells.vertical.count):
        for column in range(cells.horizontal.count):
            box = tile_box(row, column, cells, geometry)
            if box is not None:
                yield row, column, box


def _with_neighbours(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells (rows, columns) and the up to eight round each of them."""
    padded = np.pad(cells, 1)
    across = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
    return np.asarray(across[:-2] | across[1:-1] | across[2:])
