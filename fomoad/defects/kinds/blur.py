"""A blurred spot: worn print, a polished patch, a drop of clear liquid or a smeared coating."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob

SIGMA: Final = (0.12, 0.3)
"""Deviation of the blur as a share of the extent, from and to; never below NARROWEST."""
NARROWEST: Final = 1.5


def blur(scene: Scene, random: Generator) -> Change:
    """A spot in which the surface is blurred, evenly or along one direction as by a wipe."""
    sigma = max(NARROWEST, random.uniform(*SIGMA) * scene.extent)
    cover = blob(scene, random, softness=max(0.8, scene.extent / 10))
    along = (sigma, sigma / 6) if random.random() < 0.5 else (sigma, sigma)
    rows, columns = along if random.random() < 0.5 else along[::-1]
    target: NDArray[np.float32] = ndimage.gaussian_filter(scene.pixels, (rows, columns, 0), mode="nearest")
    return Change(target, cover)
