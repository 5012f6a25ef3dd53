"""What a kind of defect is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float32]

MARGIN: Final = 3
"""Pixels around a defect that its window takes in as well: for soft edges, and to see what it lies in."""


@dataclass(frozen=True)
class Scene:
    """A place on a good image where a defect is to be made.

    `image` and `donor` are float32 (height, width, channels), 0 to 255; `donor` is another good image of the same
    shape, or the same. `centre` is (row, column) and `extent` the length of the defect from end to end, in pixels.
    """

    image: Array
    donor: Array
    centre: tuple[float, float]
    extent: float

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns that the defect may change."""
        return window_at(self.image.shape[:2], self.centre, self.extent)

    @property
    def pixels(self) -> Array:
        """The image within the window, (rows, columns, channels)."""
        return self.image[self.window]

    @cached_property
    def offsets(self) -> tuple[Array, Array]:
        """Distance down and to the right from the centre of each pixel of the window, two (rows, columns)."""
        rows, columns = self.window
        down = np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(self.centre[0])
        right = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(self.centre[1])
        below, beside = np.meshgrid(down, right, indexing="ij")
        return below, beside


@dataclass(frozen=True)
class Change:
    """How a defect changes the window: pixels move towards `target` by the share `cover`, times the contrast.

    `target` is (rows, columns, channels), 0 to 255, and `cover` (rows, columns), 0 to 1.
    """

    target: Array
    cover: Array


Kind = Callable[[Scene, Generator], Change]
"""Makes one kind of defect. All that is random in it comes from the generator."""


def window_at(shape: tuple[int, ...], centre: tuple[float, float], extent: float) -> tuple[slice, slice]:
    """The rows and columns of an image that a defect of this extent can reach."""
    reach = extent / 2 + MARGIN
    rows, columns = (
        slice(max(0, int(middle - reach)), min(side, int(middle + reach) + 2))
        for middle, side in zip(centre, shape[:2], strict=True)
    )
    return rows, columns
