"""Training images made by code: scenes and surfaces, layered, lit and degraded; uint8, (side, side, 3), RGB.

No image of any data set that the block is measured on is used here; the only photographs are scikit-learn's two.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fomoad.progress import track
from tools.pretrain.fields import Field, Rng, any_field, gradient
from tools.pretrain.scenes import (
    Picture,
    any_texture,
    cloud_mask,
    dead_leaves,
    part,
    photo_crop,
    relief,
    shape_mask,
    spot_mask,
    stroke_mask,
    surface,
    writing_mask,
)

SCENES: tuple[tuple[Callable[[Rng, int], Picture], float], ...] = (
    (photo_crop, 0.28),
    (surface, 0.22),
    (dead_leaves, 0.18),
    (part, 0.16),
    (relief, 0.16),
)
"""Ground images and how often each kind is drawn."""

MASKS: tuple[Callable[[Rng, int], Field], ...] = (
    shape_mask, shape_mask, writing_mask, stroke_mask, stroke_mask, spot_mask, cloud_mask,
)  # fmt: skip
CHUNK = 250


def scene(rng: Rng, side: int) -> Picture:
    """A ground with up to three things laid over it."""
    weights = np.array([weight for _, weight in SCENES])
    picture = SCENES[rng.choice(len(SCENES), p=weights / weights.sum())][0](rng, side)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        mask = MASKS[rng.integers(len(MASKS))](rng, side)[..., None] * np.float32(rng.uniform(0.15, 1))
        over = any_texture(rng, side) if rng.random() < 0.4 else rng.random(3).astype(np.float32)
        picture = picture * (1 - mask) + over * mask
    return picture


def degrade(rng: Rng, picture: Picture) -> Picture:
    """What a camera and a lamp do: uneven light, tint, contrast, blur, sensor noise; a third in grey."""
    side = picture.shape[0]
    if rng.random() < 0.35:
        picture = np.repeat(picture @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, -1)
    elif rng.random() < 0.5:
        picture = picture * rng.uniform(0.5, 1.3, 3) + rng.uniform(-0.15, 0.15, 3)
    if rng.random() < 0.4:
        light = gradient(rng, side) if rng.random() < 0.7 else any_field(rng, side)
        picture = picture * (1 - rng.uniform(0, 0.7) * light[..., None])
    if rng.random() < 0.6:
        mean = picture.mean()
        contrast = np.exp(rng.uniform(np.log(0.12), np.log(1.8)))
        picture = (picture - mean) * contrast + (rng.uniform(0.1, 0.9) if rng.random() < 0.5 else mean)
    if rng.random() < 0.35:
        picture = ndimage.gaussian_filter(picture, (*(np.exp(rng.uniform(-1.2, 1, 1)).repeat(2)), 0))
    if rng.random() < 0.4:
        grain = rng.standard_normal((*picture.shape[:2], rng.choice([1, 3])), np.float32)
        picture = picture + grain * np.exp(rng.uniform(np.log(0.004), np.log(0.08)))
    return np.clip(picture, 0, 1).astype(np.float32)


def image(rng: Rng, side: int) -> NDArray[np.uint8]:
    """One finished training image."""
    return np.round(degrade(rng, scene(rng, side)) * 255).astype(np.uint8)


def _chunk(job: tuple[int, int, int]) -> NDArray[np.uint8]:
    seed, number, side = job
    rng = np.random.default_rng((seed, number))
    return np.stack([image(rng, side) for _ in range(CHUNK)])


def make_images(path: Path, count: int, side: int, seed: int, workers: int) -> NDArray[np.uint8]:
    """Write `count` images to `path` as one .npy file, unless it is there already, and map it.

    The result depends on the seed alone, not on the number of workers.
    """
    shape = (-(-count // CHUNK) * CHUNK, side, side, 3)
    if path.exists() and np.load(path, mmap_mode="r").shape == shape:
        return np.load(path, mmap_mode="r")
    beside = path.with_suffix(".part")
    stored = np.lib.format.open_memmap(beside, "w+", np.uint8, shape)
    jobs = [(seed, number, side) for number in range(shape[0] // CHUNK)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        chunks = pool.imap(_chunk, jobs)
        for number, chunk in enumerate(track(chunks, "Making training images", shape[0], len)):
            stored[number * CHUNK : (number + 1) * CHUNK] = chunk
    stored.flush()
    beside.rename(path)
    return np.load(path, mmap_mode="r")
