"""Test images and masks to what the page shows of them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.evaluation.report import Picture

LONGEST_SIDE = 320
"""Larger images are shown at this size where there are many: a page of 5,000 of them must still open."""
LONGEST_SIDE_OF_FEW = 960
MOST_PIXELS = 200e6
"""Where there are few images, larger ones keep more of their pixels, but no more than these in all."""

JPEG_QUALITY = 88


def longest_side(count: int) -> int:
    """The size that so many images are shown at where they are larger.

    >>> longest_side(100), longest_side(5_000)
    (960, 320)
    """
    return int(np.clip((MOST_PIXELS / count) ** 0.5, LONGEST_SIDE, LONGEST_SIDE_OF_FEW))


def picture(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    proportions: float | None = None,
    longest: int = LONGEST_SIDE,
) -> Picture:
    """pixels: (height, width, 1 or 3), 0 to 255, grey or RGB; mask: (height, width), True where the defect is."""
    rounded = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(rounded[..., 0] if rounded.shape[2] == 1 else rounded)
    image.thumbnail((longest, longest))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Picture(encoded.getvalue(), None if mask is None else outline(mask), proportions)


def outline(mask: NDArray[np.bool_]) -> str | None:
    """The edges between the pixels inside and outside a mask (height, width), as an SVG path in pixels."""
    padded = np.pad(mask, 1)
    lines = [f"M{start} {y}H{end}" for y, start, end in _runs(padded[1:, 1:-1] != padded[:-1, 1:-1])]
    lines += [f"M{x} {start}V{end}" for x, start, end in _runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)]
    return "".join(lines) or None


def _runs(edges: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Each unbroken run of True in the rows of a matrix: its row, first column, and the column after its last."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
