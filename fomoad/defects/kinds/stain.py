"""A stain: oil, rust, dust or dried liquid that the surface shows through."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob, rough_noise

RIM: Final = 0.45
"""How much weaker a dried stain is in its middle than at its rim."""
DARK_SURFACE: Final = 60
"""Mean grey level below which a stain is lighter than the surface: a darker one would not show."""

TINTS: Final = ((0.55, 0.42, 0.28), (0.62, 0.36, 0.2), (0.35, 0.35, 0.38), (0.75, 0.68, 0.4), (0.4, 0.5, 0.62))
"""What is left of red, green and blue under oil, rust, grease, yellowed and bluish liquid."""


def stain(scene: Scene, random: Generator) -> Change:
    """An irregular spot that tints, darkens or whitens the surface, uneven within, maybe stronger at its rim."""
    softness = max(0.8, scene.extent * random.uniform(0.04, 0.2))
    cover = blob(scene, random, softness, slimmest=0.6)
    shape = cover.shape[0], cover.shape[1]
    uneven = 1 + 0.18 * rough_noise(shape, max(2.0, scene.extent / 3), random)
    if random.random() < 0.4:
        middle = blob(scene, random, softness=scene.extent / 4)
        uneven = uneven * (1 - RIM * middle)
    strength = np.clip(cover * uneven, 0, 1).astype(np.float32)
    return Change(_under_stain(scene.pixels, random), strength)


def _under_stain(surface: NDArray[np.float32], random: Generator) -> NDArray[np.float32]:
    """The surface (rows, columns, channels) under a full stain."""
    if surface.mean() < DARK_SURFACE or random.random() < 0.2:
        white = np.float32(random.uniform(150, 235))
        return (surface + np.float32(0.75) * (white - surface)).astype(np.float32)
    tint = np.asarray(TINTS[random.integers(len(TINTS))], np.float32)
    if surface.shape[2] != len(tint):
        tint = tint.mean(keepdims=True)
    return (surface * tint).astype(np.float32)
