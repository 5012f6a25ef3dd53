"""Large photos as overlapping tiles: how a photo is cut, and how what is said of its tiles is joined again.

A photo is brought to a size of several model inputs, and tiles of the model's input are cut out of that. Tiles lie
whole steps of STEP pixels apart, so that the cells of all tiles lie on one grid over the photo: maps are joined cell by
cell, nothing is interpolated, and the photo's score is exactly the highest of its tiles'.

`fomoad predict` starts here too, so this module imports NumPy only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.npy_file import Rows
from fomoad.errors import UserError
from fomoad.geometry import Axis, CellGeometry

STEP: Final = 16
"""Pixels between the mixture's cells, and twice what is between PatchCore's."""
OVERLAP: Final = 0.25
"""Share of a tile that the next one shows too, where nobody says it: a small defect is then whole in one of them."""
MOST: Final = 32
"""Tiles along a side."""
SAME: Final = 1e-3
"""Cells that are less than this share of a cell apart are the same."""


@dataclass(frozen=True)
class Tiling:
    """`rows` times `columns` tiles, which begin `down` and `across` pixels after one another.

    A data directory holds the tiles of a photo one after the other, row by row.

    >>> Tiling.of(2, 3, 0.25, (96, 96))
    Tiling(rows=2, columns=3, down=64, across=64)
    >>> Tiling(2, 3, 64, 64).photo_shape(96, 96)
    (160, 224)
    """

    rows: int
    columns: int
    down: int
    across: int

    def __post_init__(self) -> None:
        """Raise ValueError where this is no way to cut a photo."""
        for count, step in ((self.rows, self.down), (self.columns, self.across)):
            if not (isinstance(count, int) and isinstance(step, int) and 1 <= count <= MOST):
                raise ValueError(f"{self} is no way to cut a photo")
            if step < STEP or step % STEP:
                raise ValueError(f"tiles that are not whole steps of {STEP} pixels apart")

    @classmethod
    def of(cls, rows: int, columns: int, overlap: float, tile: tuple[int, int]) -> "Tiling":
        """Tiles (height, width) of which each shows at least the share `overlap`, and STEP pixels, of its neighbour.

        Raises UserError for sides that are no multiples of STEP, and for numbers that are out of range.
        """
        if not (1 <= rows <= MOST and 1 <= columns <= MOST):
            raise UserError(f"--tiles {rows},{columns} cannot be: give 1 to {MOST} rows and columns.")
        if not 0 <= overlap <= 0.75:
            raise UserError(f"--overlap {overlap:g} cannot be: give a share from 0 to 0.75.")
        if any(side % STEP or side < 2 * STEP for side in tile):
            raise UserError(
                f"Tiles of {tile[1]} x {tile[0]} pixels do not fit together: with --tiles, give a --size whose sides "
                f"are multiples of {STEP}."
            )
        down, across = (max(STEP, int(min(side * (1 - overlap), side - STEP)) // STEP * STEP) for side in tile)
        return cls(rows, columns, down, across)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Tiling":
        """The tiling that stands in a file. Raises TypeError, KeyError or ValueError where it is none."""
        return cls(content["rows"], content["columns"], content["down"], content["across"])

    @property
    def count(self) -> int:
        """How many tiles a photo has."""
        return self.rows * self.columns

    def fits(self, height: int, width: int) -> bool:
        """Whether tiles of this size overlap and leave nothing out."""
        return self.down <= height and self.across <= width

    def photo_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the photo that tiles of this size are cut out of."""
        return (self.rows - 1) * self.down + height, (self.columns - 1) * self.across + width

    def corners(self) -> Iterator[tuple[int, int]]:
        """The top and left of each tile in the photo, row by row."""
        for row in range(self.rows):
            for column in range(self.columns):
                yield row * self.down, column * self.across

    def cut(self, photo: NDArray[Any], height: int, width: int) -> Iterator[NDArray[Any]]:
        """The tiles (height, width, ...) of a photo of the `photo_shape` (H, W, ...), as views."""
        for top, left in self.corners():
            yield photo[top : top + height, left : left + width]

    def put_together(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """The photo (H, W, ...) that its tiles (count, height, width, ...) were cut out of."""
        height, width = tiles.shape[1:3]
        photo = np.empty((*self.photo_shape(height, width), *tiles.shape[3:]), tiles.dtype)
        for tile, (top, left) in zip(tiles, self.corners(), strict=True):
            photo[top : top + height, left : left + width] = tile
        return photo

    def cells(self, cells: CellGeometry) -> CellGeometry:
        """Where the cells of the joined map lie in the photo, given where those of a tile lie in it.

        Raises UserError for a model whose cells do not come to lie on one another.
        """
        return CellGeometry(
            _joined(cells.vertical, self.rows, self.down), _joined(cells.horizontal, self.columns, self.across)
        )

    def join(self, maps: NDArray[np.float32], cells: CellGeometry) -> NDArray[np.float32]:
        """The map (R, C) of a photo of its tiles' maps (count, rows, columns), whose `cells` lie these strides apart.

        Where tiles overlap, the highest score counts: the photo's score is then the highest of its tiles', which its
        threshold was found for, and what one tile finds no other can talk down.
        """
        rows, columns = maps.shape[1:]
        down, across = round(self.down / cells.vertical.stride), round(self.across / cells.horizontal.stride)
        joined = np.full(((self.rows - 1) * down + rows, (self.columns - 1) * across + columns), -np.inf, np.float32)
        for number, tile in enumerate(maps):
            top, left = number // self.columns * down, number % self.columns * across
            part = joined[top : top + rows, left : left + columns]
            np.maximum(part, tile, out=part)
        return joined

    def join_all(self, maps: NDArray[np.float32], cells: CellGeometry) -> NDArray[np.float32]:
        """The maps (N, R, C) of photos of all their tiles' maps (N * count, rows, columns)."""
        by_photo = maps.reshape(-1, self.count, *maps.shape[1:])
        return np.stack([self.join(each, cells) for each in by_photo])

    def highest(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores (N,) of photos by those (N * count,) of all their tiles."""
        highest: NDArray[np.float32] = scores.reshape(-1, self.count).max(axis=1)
        return highest

    def rows_of(self, photos: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows (n * count,) of the tiles of photos (n,) in a data directory."""
        rows: NDArray[np.int64] = (photos[:, None] * self.count + np.arange(self.count)).ravel()
        return rows


@dataclass(frozen=True)
class PhotoRows:
    """An array of tiles, (N * count, height, width, ...), as one of the photos that they were cut out of."""

    array: Rows
    tiling: Tiling
    tile_shape: tuple[int, ...]

    @property
    def path(self) -> Path | str:
        return self.array.path

    def __len__(self) -> int:
        return len(self.array) // self.tiling.count

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Some photos."""
        photos = np.arange(len(self))[rows]
        tiles = self.array.rows(self.tiling.rows_of(photos)).reshape(-1, *self.tile_shape)
        count = self.tiling.count
        shape = self.tiling.photo_shape(self.tile_shape[0], self.tile_shape[1])
        whole = np.empty((len(photos), *shape, *self.tile_shape[2:]), tiles.dtype)
        for number in range(len(photos)):
            whole[number] = self.tiling.put_together(tiles[number * count : (number + 1) * count])
        return whole


def parse_tiles(text: str) -> tuple[int, int]:
    """Rows and columns of `2,3`. Raises UserError for anything else."""
    rows, _, columns = text.partition(",")
    try:
        return int(rows), int(columns)
    except ValueError as error:
        raise UserError(f"--tiles '{text}' is no number of rows and columns: give them as 2,3.") from error


def _joined(axis: Axis, tiles: int, step: int) -> Axis:
    if tiles == 1:
        return axis
    cells = step / axis.stride
    if abs(cells - round(cells)) > SAME or round(cells) > axis.count:
        raise UserError(
            f"The model's cells are {axis.stride:g} pixels apart, so tiles {step} pixels apart do not join to one map: "
            "use a model beside its anomaly_metadata.json, trained on sides that are multiples of 16."
        )
    return replace(axis, count=(tiles - 1) * round(cells) + axis.count)
