"""The cells of a map that do not count, as they stand in the metadata: a text a row, `#` where a cell is ignored."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IGNORED, COUNTED = "#", "."


def to_text(ignored: NDArray[np.bool_]) -> list[str]:
    """The rows of cells (rows, columns) as texts.

    >>> to_text(np.array([[True, False], [False, False]]))
    ['#.', '..']
    """
    return ["".join(IGNORED if cell else COUNTED for cell in row) for row in ignored]


def of_text(text: Sequence[str] | None, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The ignored cells of a map of this shape; None where there are none, or the text is of another map.

    Raises TypeError for anything but texts.
    """
    if not text or (len(text), *{len(row) for row in text}) != shape:
        return None
    ignored = np.array([[cell == IGNORED for cell in row] for row in text], bool)
    return ignored if ignored.any() else None
