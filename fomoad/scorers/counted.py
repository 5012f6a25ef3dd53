"""Which parts of an image count: the others take no part in a fit, and score 0."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fomoad.geometry import CellGeometry

HALF: Final = 0.5 - 1e-4
"""A cell is ignored from this share of its window on: half of it, less what rounding may take."""


@dataclass(frozen=True)
class Counted:
    """The `places` (R, C) that features are taken from and the `cells` (rows, columns) of the map that count.

    Where scores of places are those of cells, as the mixture's, the two are the same.
    """

    places: NDArray[np.bool_]
    cells: NDArray[np.bool_]

    @classmethod
    def of(cls, ignored: NDArray[np.float32], places: CellGeometry, cells: CellGeometry) -> "Counted":
        """What counts where a share `ignored` (height, width) of each pixel does not.

        A place counts if less than half of its window is ignored. A cell counts if the same holds for it, and a place
        that counts gives it a score: places are windows of cells, of which there are more by the window's side less 1.

        >>> from fomoad.geometry import pixels
        >>> left = np.array([[1, 1, 0, 0]] * 4, np.float32)
        >>> Counted.of(left, pixels(4, 4), pixels(4, 4)).cells[0].tolist()
        [False, False, True, True]
        """
        found = places.shares(ignored) < HALF
        window = cells.vertical.count - places.vertical.count + 1
        scored = sliding_window_view(np.pad(found, window - 1), (window, window)).any(axis=(-2, -1))
        return cls(found, (cells.shares(ignored) < HALF) & scored)


def at_places(values: NDArray[Any], counted: Counted | None) -> NDArray[Any]:
    """The values (n, K, D) of images at the K places that count, of those (n, R, C, D) at all; None: all count."""
    images, rows, columns, dimensions = values.shape
    flat = values.reshape(images, rows * columns, dimensions)
    return flat if counted is None else flat[:, counted.places.ravel()]
