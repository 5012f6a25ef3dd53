"""`--ignore-mask`: what it covers, and whether enough is left to learn from."""

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data import ignore_mask
from fomoad.data.dataset import Split
from fomoad.data.ignore_mask import IgnoreMask
from fomoad.errors import UserError
from fomoad.geometry import Axis, CellGeometry
from fomoad.progress import warn
from fomoad.scorers.counted import Counted
from fomoad.settings import NO_MASK, TrainSettings

FEWEST_CELLS: Final = 4
"""With fewer cells to an image than this, there is too little to learn from."""
STRIDE: Final = 8
"""Pixels between the places that the features are from."""


def read(settings: TrainSettings, split: Split) -> IgnoreMask | None:
    """The mask that the settings name, for these images; None without one.

    Raises UserError where the picture cannot be read or leaves too little, and for images that are tiles.
    """
    if settings.ignore_mask == NO_MASK:
        return None
    what = f"--ignore-mask {settings.ignore_mask}"
    if split.tiling:
        raise UserError(
            f"{what} does not go with photos that were cut into tiles: one model scores all tiles, so it cannot leave "
            "out a part of the photo; import whole photos, or leave the mask out."
        )
    assert split.images is not None
    height, width, _ = split.images.shape
    try:
        ignored = ignore_mask.read(Path(settings.ignore_mask), (height, width), split.resize or "squash")
    except UserError as error:
        raise UserError(f"--ignore-mask: {error}") from error
    cells = _about(settings, ignored.shares)
    left = int(cells.sum())
    if ignored.shares.min() == 1:
        raise UserError(f"{what} covers the whole picture: make white what is to be ignored, and the rest black.")
    if left < FEWEST_CELLS:
        raise UserError(
            f"{what} leaves about {left} of {cells.size} cells of the map, which is too little to learn from: leave "
            "more of it black, or train with larger images."
        )
    if cells.all():
        warn(f"{what} covers no cell of the map by half, so nothing is ignored: white is what is ignored.")
    return ignored


def _about(settings: TrainSettings, ignored: NDArray[np.float32]) -> NDArray[np.bool_]:
    """About which cells (rows, columns) count: where exactly they lie, the backbone says, which takes TensorFlow."""

    def axis(side: int) -> Axis:
        grid = Axis(math.ceil(side / STRIDE), STRIDE / 2, STRIDE, STRIDE)
        return grid.pooled(3, 2) if settings.scorer() == "gmm" else grid

    height, width = ignored.shape
    places = CellGeometry(axis(height), axis(width))
    return Counted.of(ignored, places, places).cells
