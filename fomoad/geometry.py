"""Where the cells of an anomaly map lie on the image: the one place that knows.

A cell does not stand for an even share of the image. Convolutions with a stride start at the first pixel and shift
the middle of what they see, and windows that never leave the grid make the outermost cells lie inside the image.
Everything that draws, measures or reports a map asks here, in pixels of the model's input.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """The `count` cells along one side of the image, in pixels from its edge; the first pixel's middle is at 0.5.

    `origin` is the middle of the first cell, `stride` the distance between the middles of two neighbours, and `window`
    the length that a cell stands for, round its middle: windows may overlap.

    >>> Axis(count=5, origin=15.5, stride=16.0, window=24.0).window_of(0, 2)
    (3.5, 43.5)
    """

    count: int
    origin: float
    stride: float
    window: float

    def __post_init__(self) -> None:
        if not (self.count >= 1 and math.isfinite(self.origin) and self.stride > 0 and self.window > 0):
            raise ValueError(f"{self} is no row of cells")

    def slid(self, size: int, stride: int, pads: tuple[int, int], middle: float | None = None) -> "Axis":
        """What windows of `size` cells lie on, `stride` cells apart, with `pads` cells added before and after these.

        `middle` is where in the window its weight lies, from 0 to `size` - 1; half way if it is not given. The new
        cells stand for their own distance, because a convolution weighs what it sees, mostly towards the middle.
        """
        count = (self.count + sum(pads) - size) // stride + 1
        middle = (size - 1) / 2 if middle is None else middle
        apart = self.stride * stride
        return Axis(count, self.origin + self.stride * (middle - pads[0]), apart, apart)

    def pooled(self, size: int, stride: int) -> "Axis":
        """What the means of windows of `size` cells lie on that never leave the grid."""
        reach = self.stride * (size - 1)
        count = (self.count - size) // stride + 1
        return Axis(count, self.origin + reach / 2, self.stride * stride, self.window + reach)

    def resized(self, count: int) -> "Axis":
        """What `count` cells lie on that these are stretched to evenly, as image resizing does."""
        ratio = self.count / count
        return Axis(count, self.origin + self.stride * (ratio - 1) / 2, self.stride * ratio, self.stride * ratio)

    def spread(self, size: int) -> "Axis":
        """What cells lie on that take the highest of all windows of `size` cells that they are in.

        These are the windows, and there are `size` - 1 cells more than windows.
        """
        back = self.stride * (size - 1)
        return Axis(self.count + size - 1, self.origin - back / 2, self.stride, self.window - back)

    def tile_of(self, start: int, stop: int) -> tuple[float, float]:
        """Where the cells from `start` up to `stop` end if each reaches half way to its neighbours."""
        return self.origin + (start - 0.5) * self.stride, self.origin + (stop - 0.5) * self.stride

    def window_of(self, start: int, stop: int) -> tuple[float, float]:
        """Where the windows of the cells from `start` up to `stop` end."""
        half = self.window / 2
        return self.origin + start * self.stride - half, self.origin + (stop - 1) * self.stride + half

    def shares(self, pixels: int) -> NDArray[np.float32]:
        """How much each of so many pixels is of each cell's window, as far as that lies on them: (count, pixels).

        >>> Axis(count=2, origin=1.0, stride=2.0, window=2.0).shares(4)[0].tolist()
        [0.5, 0.5, 0.0, 0.0]
        """
        middles = self.origin + self.stride * np.arange(self.count)[:, None]
        edges = np.arange(pixels)
        above = np.maximum(middles - self.window / 2, edges)
        below = np.minimum(middles + self.window / 2, edges + 1)
        lengths = np.maximum(below - above, 0)
        lengths /= np.maximum(lengths.sum(axis=1, keepdims=True), 1e-9)
        shares: NDArray[np.float32] = lengths.astype(np.float32)
        return shares

    def nearest(self, pixels: int) -> NDArray[np.int64]:
        """The cell (pixels,) whose middle is nearest to each of so many pixels."""
        at = (np.arange(pixels) + 0.5 - self.origin) / self.stride
        nearest: NDArray[np.int64] = np.clip(np.floor(at + 0.5), 0, self.count - 1).astype(np.int64)
        return nearest

    def between(self, pixels: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """For each of so many pixels: the cell before its middle, and how far it is to the next one, 0 to 1.

        Beyond the outermost cells, it is at them.
        """
        at = np.clip((np.arange(pixels) + 0.5 - self.origin) / self.stride, 0, self.count - 1)
        before = np.minimum(at.astype(np.int64), max(self.count - 2, 0))
        return before, (at - before).astype(np.float32)


@dataclass(frozen=True)
class CellGeometry:
    """Where the cells of a map lie: its rows along `vertical`, its columns along `horizontal`."""

    vertical: Axis
    horizontal: Axis

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "CellGeometry":
        """The geometry that stands in a metadata file. Raises TypeError, KeyError or ValueError where it is none."""
        return cls(Axis(**content["vertical"]), Axis(**content["horizontal"]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.vertical.count, self.horizontal.count

    def shares(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of values (height, width) over the window of each cell: (rows, columns)."""
        height, width = pixels.shape
        means: NDArray[np.float32] = self.vertical.shares(height) @ pixels @ self.horizontal.shares(width).T
        return means

    def at_pixels(self, cells: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
        """What is true of each pixel's nearest cell, (height, width), of what is true of cells (rows, columns)."""
        found: NDArray[np.bool_] = cells[np.ix_(self.vertical.nearest(height), self.horizontal.nearest(width))]
        return found

    def upsample(self, grid: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map (rows, columns) at every pixel (height, width): bilinear between the cells' middles."""
        for axis, pixels in ((self.vertical, height), (self.horizontal, width)):
            before, share = axis.between(pixels)
            after = np.minimum(before + 1, axis.count - 1)
            grid = (grid[before] + share[:, None] * (grid[after] - grid[before])).T
        return grid


def pixels(height: int, width: int) -> CellGeometry:
    """The geometry of an image itself."""
    return CellGeometry(Axis(height, 0.5, 1.0, 1.0), Axis(width, 0.5, 1.0, 1.0))


def evenly(grid_shape: tuple[int, int], image_shape: tuple[int, int]) -> CellGeometry:
    """Cells (rows, columns) that share an image (height, width) evenly: for a model whose geometry nobody wrote down.

    >>> evenly((2, 4), (96, 96)).vertical
    Axis(count=2, origin=24.0, stride=48.0, window=48.0)
    """
    image = pixels(*image_shape)
    return CellGeometry(image.vertical.resized(grid_shape[0]), image.horizontal.resized(grid_shape[1]))


def mean(geometries: Sequence[CellGeometry], weights: Sequence[float] | None = None) -> CellGeometry:
    """Where cells lie that are made of one cell of each of several maps of the same shape."""

    def along(axes: list[Axis]) -> Axis:
        lines = [(axis.origin, axis.stride, axis.window) for axis in axes]
        return Axis(axes[0].count, *np.average(lines, axis=0, weights=weights).tolist())

    return CellGeometry(along([each.vertical for each in geometries]), along([each.horizontal for each in geometries]))
