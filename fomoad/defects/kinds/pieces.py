"""Pieces of good images, cut where they differ from what they will cover."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.defects.scene import Scene

CANDIDATES: Final = 6
"""Pieces that are looked at; the one that differs most is taken, so that plain background rarely covers itself."""


def piece(scene: Scene, random: Generator) -> NDArray[np.float32]:
    """A piece (rows, columns, channels) of the donor, the window's size, from a random position; maybe mirrored."""
    rows, columns = scene.pixels.shape[:2]
    height, width = scene.donor.shape[:2]
    best, most = scene.pixels, -1.0
    for _ in range(CANDIDATES):
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        found = scene.donor[top : top + rows, left : left + columns]
        if random.random() < 0.5:
            found = found[:, ::-1]
        difference = float(np.abs(found - scene.pixels).mean())
        if difference > most:
            best, most = found, difference
    return best
