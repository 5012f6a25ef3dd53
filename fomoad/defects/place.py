"""Where defects are made: on the part, not on a plain background around it."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

BORDER: Final = 0.03
"""Share of the sides that counts as the image's border."""
PLAIN: Final = 12.0
"""Grey levels that a plain background's pixels lie from a plane of colour, at most."""
PLAIN_SHARE: Final = 0.9
"""Share of the border that must be plain for it to be a background."""
APART: Final = 24.0
"""Grey levels that a part differs by from the background."""
LEAST_PART: Final = 0.05
"""A part takes at least this share of the image, else nothing is known."""


def part_of(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the part is, (height, width), in an image (height, width, channels); everywhere if no one can tell.

    The background is what is coloured like the image's border, where nearly all of the border is plain: of one
    colour, apart from light that falls off to a side.
    """
    height, width, _ = pixels.shape
    rim = max(1, round(BORDER * min(height, width)))
    edge = np.ones((height, width), bool)
    edge[rim:-rim, rim:-rim] = False
    background = _plane(pixels, edge)
    apart = np.abs(pixels - background).max(axis=2)
    if (apart[edge] <= PLAIN).mean() < PLAIN_SHARE:
        return np.ones((height, width), bool)
    part = ndimage.binary_fill_holes(ndimage.binary_opening(apart > APART, iterations=rim))
    if part.mean() < LEAST_PART:
        return np.ones((height, width), bool)
    found: NDArray[np.bool_] = part
    return found


def choose(part: NDArray[np.bool_], extent: float, random: Generator) -> tuple[float, float]:
    """A random position (row, column) on the part, where a defect of this extent lies within the image if it can."""
    margins = [int(min(extent / 2, (side - 1) / 2)) for side in part.shape]
    inner = part[margins[0] : part.shape[0] - margins[0], margins[1] : part.shape[1] - margins[1]]
    if not inner.any():
        inner, margins = part, [0, 0]
    rows, columns = np.nonzero(inner)
    pick = random.integers(len(rows))
    return float(rows[pick] + margins[0]), float(columns[pick] + margins[1])


def _plane(pixels: NDArray[np.uint8], edge: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The plane of colour (height, width, channels) through an edge's pixels, without the tenth that strays most."""
    height, width, _ = pixels.shape
    down, right = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(down), down, right], axis=-1)
    rows, colours = terms[edge], pixels[edge].astype(np.float64)
    kept = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    kept = kept <= np.quantile(kept, PLAIN_SHARE)
    plane: NDArray[np.float64] = terms @ np.linalg.lstsq(rows[kept], colours[kept], rcond=None)[0]
    return plane
