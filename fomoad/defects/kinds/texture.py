"""Foreign matter or a worn surface: a strange texture under a mask of noise."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob, rough_noise, smooth_noise, soft_step

OPACITY: Final = (0.5, 1.0)
"""How much of the texture covers the surface, from and to (beta in the paper is one less this)."""


def texture(scene: Scene, random: Generator) -> Change:
    """A texture that is not the part's under thresholded noise (Zavrtanik et al., DRAEM, ICCV 2021).

    The paper takes photos of textures; here code makes them, in colours around those of the surface.
    """
    shape = scene.pixels.shape[0], scene.pixels.shape[1]
    ragged = soft_step(rough_noise(shape, max(2.0, scene.extent / 2), random) + 0.6, 0.4)
    cover = blob(scene, random, softness=1.0) * ragged
    return Change(_foreign(scene, random), cover * np.float32(random.uniform(*OPACITY)))


def _foreign(scene: Scene, random: Generator) -> NDArray[np.float32]:
    """A made texture (rows, columns, channels) between two colours: grain, fibres or cells."""
    shape = scene.pixels.shape[0], scene.pixels.shape[1]
    grain = random.uniform(2.0, max(3.0, scene.extent / 3))
    pattern = random.integers(3)
    if pattern == 0:
        field = rough_noise(shape, grain, random)
    elif pattern == 1:
        down, right = scene.offsets
        angle = random.uniform(0, np.pi)
        wobble = smooth_noise(shape, 2 * grain, random)
        phase = (np.cos(angle) * down + np.sin(angle) * right) / grain
        field = np.sin(2 * np.pi * phase + wobble) * np.float32(1.4)
    else:
        field = np.abs(smooth_noise(shape, 2 * grain, random)) * np.float32(2) - np.float32(1.5)
    base = scene.pixels.mean(axis=(0, 1))
    first = _colour_near(base, random)
    second = _colour_near(first, random)
    share = soft_step(field.astype(np.float32), 1.5)[..., None]
    mixed: NDArray[np.float32] = np.clip(first + share * (second - first), 0, 255).astype(np.float32)
    return mixed


def _colour_near(base: NDArray[np.float32], random: Generator) -> NDArray[np.float32]:
    """A colour (channels,) clearly lighter or darker than the base, a little tinted, away from the nearer end."""
    lightness = float(base.mean())
    room_up, room_down = 255 - lightness, lightness
    up = random.random() < room_up / 255
    step = random.uniform(0.25, 0.7) * (room_up if up else -room_down)
    tint = random.normal(0, 12, len(base)) if len(base) > 1 else 0.0
    colour: NDArray[np.float32] = np.clip(base + step + tint, 0, 255).astype(np.float32)
    return colour
