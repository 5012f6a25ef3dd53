"""A scratch or a hairline crack: a thin bent line, lit on one side and in shadow on the other."""

from typing import Final

import numpy as np
from numpy.random import Generator

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import soft_step

WIDTH: Final = (0.03, 0.09)
"""Width of the line as a share of its length, from and to; never below NARROWEST."""
NARROWEST: Final = 1.0
WIDEST: Final = 0.02
"""Share of the image's shorter side that a line is wide at most, where that is more than NARROWEST."""
POINTS: Final = 64


def scratch(scene: Scene, random: Generator) -> Change:
    """A line of the scene's extent, its ends tapered; dark as a crack, or bright with a dark rim as bare metal."""
    down, right = scene.offsets
    along = np.linspace(-1, 1, POINTS, dtype=np.float32)
    bend = random.normal(0, 0.12) * (along**2 - 1) + random.normal(0, 0.08) * (along**3 - along)
    jitter = np.cumsum(random.normal(0, 1, POINTS)) * random.choice([0.0, 0.012])
    across = (bend + jitter - np.linspace(jitter[0], jitter[-1], POINTS)).astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    sine, cosine = np.sin(angle), np.cos(angle)
    half = scene.extent / 2
    rows, columns = half * (sine * along + cosine * across), half * (cosine * along - sine * across)
    apart = np.hypot(down[..., None] - rows.astype(np.float32), right[..., None] - columns.astype(np.float32))
    nearest = apart.argmin(axis=-1)
    distance = np.take_along_axis(apart, nearest[..., None], axis=-1)[..., 0]
    widest = max(NARROWEST, WIDEST * min(scene.image.shape[:2]))
    width = np.clip(random.uniform(*WIDTH) * scene.extent, NARROWEST, widest)
    taper = np.sqrt(np.clip(1 - along[nearest] ** 2, 0, 1)) * 0.6 + 0.4
    cover = soft_step((width / 2 * taper - distance).astype(np.float32) + np.float32(0.35), 0.6)
    signed = (down - rows[nearest]) * cosine - (right - columns[nearest]) * sine
    lit = soft_step(signed.astype(np.float32), max(0.7, width / 2))[..., None]
    surface = scene.pixels
    dark = surface * np.float32(random.uniform(0.15, 0.45))
    bright = surface + (255 - surface) * np.float32(random.uniform(0.45, 0.8))
    if random.random() < 0.5 and surface.mean() > 50:
        return Change(dark.astype(np.float32), cover)
    return Change((dark + lit * (bright - dark)).astype(np.float32), cover)
