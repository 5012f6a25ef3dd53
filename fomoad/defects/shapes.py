"""Outlines and textures that kinds of defect share: pure functions of a scene and a generator."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from fomoad.defects.scene import Scene

Array = NDArray[np.float32]

WAVES: Final = 5
"""Waves around an outline: more look frayed, fewer are ellipses."""


def soft_step(values: Array, softness: float) -> Array:
    """0 below -softness, 1 above softness, smooth between (3 t^2 - 2 t^3)."""
    t = np.clip(values / (2 * softness) + 0.5, 0, 1)
    step: Array = (t * t * (3 - 2 * t)).astype(np.float32)
    return step


def blob(scene: Scene, random: Generator, softness: float = 0.7, slimmest: float = 0.45) -> Array:
    """Cover (rows, columns) of an irregular roundish outline that is `extent` long; soft over `softness` pixels."""
    down, right = _turned(scene, random)
    across = np.float32(random.uniform(slimmest, 1.0))
    angle = np.arctan2(down / across, right)
    radius = np.ones_like(angle)
    for wave in range(2, 2 + WAVES):
        radius += np.float32(random.normal(0, 0.16 / wave)) * np.cos(wave * angle + np.float32(random.uniform(0, 6.3)))
    radius *= np.float32(scene.extent / 2) / radius.max()
    distance = np.hypot(down / across, right)
    return soft_step((radius - distance) * across, softness)


def rectangle(scene: Scene, random: Generator, slimmest: float, softness: float = 0.5) -> Array:
    """Cover (rows, columns) of a turned rectangle whose diagonal is `extent`; its sides are `slimmest` to 1 as 1."""
    down, right = _turned(scene, random)
    ratio = random.uniform(slimmest, 1.0)
    long = scene.extent / 2 / np.hypot(1, ratio)
    inside = np.minimum(long - np.abs(right), max(0.5, long * ratio) - np.abs(down))
    return soft_step(inside, softness)


def smooth_noise(shape: tuple[int, int], grain: float, random: Generator) -> Array:
    """Noise (rows, columns) with mean 0 and deviation 1 whose spots are about `grain` pixels wide."""
    field = ndimage.gaussian_filter(random.standard_normal(shape).astype(np.float32), grain / 2, mode="wrap")
    field -= field.mean()
    noise: Array = field / max(float(field.std()), 1e-6)
    return noise


def rough_noise(shape: tuple[int, int], grain: float, random: Generator) -> Array:
    """Noise of several grains, each half as wide and half as strong as the one before (as Perlin's), deviation 1."""
    field = np.zeros(shape, np.float32)
    weight = 1.0
    while grain >= 1:
        field += np.float32(weight) * smooth_noise(shape, grain, random)
        grain, weight = grain / 2, weight / 2
    noise: Array = field / max(float(field.std()), 1e-6)
    return noise


def _turned(scene: Scene, random: Generator) -> tuple[Array, Array]:
    """The scene's offsets in axes turned by a random angle."""
    down, right = scene.offsets
    angle = random.uniform(0, 2 * np.pi)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return cosine * down - sine * right, sine * down + cosine * right
