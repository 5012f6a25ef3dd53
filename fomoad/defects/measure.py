"""A made defect, how large a defect is, and how plainly it shows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

NEIGHBOURHOOD: Final = 1.2
"""Deviation in pixels of the Gaussian neighbourhood whose mean and deviation are compared."""
MASKING: Final = 15.0
"""Grey levels of deviation of a surface that make a change look weaker by the root of two."""


@dataclass(frozen=True)
class Defect:
    """A good image with a defect made on it."""

    pixels: NDArray[np.uint8]
    """The changed image, (height, width, channels)."""
    mask: NDArray[np.bool_]
    """(height, width), True where the defect is."""
    kind: str
    """A key of KINDS."""
    size: float
    """Length of the defect from end to end in pixels, measured in its mask: see `extent`."""
    contrast: float
    """How plainly it shows, in grey levels of 255, measured inside its mask: see `visibility`."""
    image: int = 0
    """The number of the good image that it was made on."""


def extent(mask: NDArray[np.bool_]) -> float:
    """The length of a mask (height, width) from end to end in pixels: its largest Feret diameter, 0 if empty.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[4, 2:7] = True
    >>> extent(mask)
    5.0
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    points = np.column_stack([rows, columns]).astype(np.float64)
    if len(points) > 8:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # all on one line: the ends are among the corners of its box
            points = points[[0, -1]]
    # From a pixel's far side to the other's: a single pixel is 1 long.
    return float(pdist(points).max(initial=0.0)) + 1.0


def visibility(before: NDArray[np.float32], after: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """How plainly a change shows inside a mask, in grey levels of 255 on a smooth surface.

    Compared are mean and deviation of each pixel's neighbourhood, the luminance and contrast of SSIM (Wang et al.
    2004): another sample of the same grain is a change of every pixel that no one can see. What lies around masks
    the change, the more the less even it is, as contrast masks contrast for the eye. Images are (rows, columns,
    channels), the mask is (rows, columns); the strongest channel counts.
    """
    if not mask.any():
        return 0.0
    masking = np.sqrt(1 + float(before.var(axis=(0, 1)).mean()) / MASKING**2)
    both = np.stack([before, after])
    mean, square = ndimage.gaussian_filter(
        np.stack([both, both * both]), (0, 0, NEIGHBOURHOOD, NEIGHBOURHOOD, 0), mode="nearest"
    )
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    change = np.hypot(mean[1] - mean[0], deviation[1] - deviation[0]).max(axis=2)
    return float(change[mask].mean() / masking)
