"""A change of colour: heat marks, fading, a wrong or uneven coat."""

from typing import Final

import numpy as np
from numpy.random import Generator

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob

LEFT: Final = (0.45, 0.85)
"""What is left of the surface's light, or of its distance from white, from and to."""
TINT: Final = 0.12
"""Deviation of a channel's share from that of all."""


def colour(scene: Scene, random: Generator) -> Change:
    """A spot whose channels fade or brighten nearly alike; a grey image gets darker or lighter."""
    cover = blob(scene, random, softness=max(0.8, scene.extent * random.uniform(0.05, 0.2)))
    surface = scene.pixels
    left = random.uniform(*LEFT) + random.normal(0, TINT, surface.shape[2])
    left = np.clip(left, 0.2, 1.1).astype(np.float32)
    lighter = random.random() < 1 - surface.mean() / 255  # the more room there is
    target = 255 - (255 - surface) * left if lighter else surface * left
    return Change(np.clip(target, 0, 255), cover)
