"""The demonstration's data set: photos of a machined part, good and defective, made from code alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from fomoad.data.dataset import MIN_SIDE
from fomoad.data.samples.camera import illuminate, photograph, random_camera, random_light
from fomoad.data.samples.canvas import Pose, blank
from fomoad.data.samples.defects import DEFECTS
from fomoad.data.samples.part import PLATE_HEIGHT, draw_belt, draw_part, good_part
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.data.writer import MASK_DEFECT, Sample, Written, write_data_directory
from fomoad.errors import UserError
from fomoad.progress import log, track

NORMAL_NAME: Final = "good"
LARGEST_SIDE: Final = 1024
SUPERSAMPLING: Final = 2
"""Canvas pixels per photo pixel and direction; edges are smooth by themselves, texture and gloss need this."""
ZOOM: Final = 1.1
MASK_COVER: Final = 0.25
"""The share of a photo pixel that a defect covers at least where the mask says so."""
GREY_WEIGHTS: Final = (0.299, 0.587, 0.114)
"""Luma of ITU-R BT.601, as Pillow's conversion to grey."""


@dataclass(frozen=True)
class Difficulty:
    """How far good parts and their photos differ, and how plain defects are (1 = medium)."""

    variation: float
    strength: float


DIFFICULTIES: Final = {
    "easy": Difficulty(variation=0.6, strength=1.35),
    "medium": Difficulty(variation=1.0, strength=1.0),
    "hard": Difficulty(variation=1.3, strength=0.65),
}


def run(
    directory: Path,
    size: int = 96,
    seed: int = 1,
    train: int = 200,
    test_normal: int = 60,
    test_anomaly: int = 60,
    channels: int = 3,
    difficulty: str = "medium",
    scaling: str = DEFAULT_SCALING,
    photo_folder: Path | None = None,
) -> Written:
    """Write the data set as a data directory, and as PNG files in the layout of MVTec AD if a folder is given.

    The same arguments give the same photos.

    Raises UserError where an argument is out of range or the directory cannot be written.
    """
    if not MIN_SIDE <= size <= LARGEST_SIDE:
        raise UserError(f"Photos of {size} pixels are not offered: give a size of {MIN_SIDE} to {LARGEST_SIDE}.")
    if train < 1 or min(test_normal, test_anomaly) < 0:
        raise UserError("The numbers of photos must not be negative, and training needs at least one.")
    if seed < 0:
        raise UserError(f"The seed {seed} is negative: give 0 or a positive number.")
    level = DIFFICULTIES[difficulty]
    kinds = [NORMAL_NAME] * test_normal + [list(DEFECTS)[i % len(DEFECTS)] for i in range(test_anomaly)]
    training = _samples([NORMAL_NAME] * train, [seed, 0], size, channels, level)
    testing = _samples(kinds, [seed, 1], size, channels, level)
    if photo_folder is not None:
        training = _saved(training, photo_folder, "train")
        testing = _saved(testing, photo_folder, "test")
    written = write_data_directory(
        directory,
        track(training, "Photographing good parts for training", train),
        track(testing, "Photographing good and defective parts for testing", len(kinds)),
        scaling,
    )
    log(f"Wrote {written.train} training and {written.test} test photos to {directory}")
    return written


def photo(kind: str, size: int, difficulty: Difficulty, rng: Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a photo (size, size, 3) of a part that is `good` or has a defect of DEFECTS, and its mask (size, size)."""
    side = SUPERSAMPLING * size
    canvas = blank(side, _random_pose(rng, difficulty.variation))
    part = good_part(rng, difficulty.variation)
    light = random_light(rng, difficulty.variation)
    camera = random_camera(rng, difficulty.variation)
    defect = None
    if kind != NORMAL_NAME:
        part, defect = DEFECTS[kind](part, rng, difficulty.strength)
    throw = -PLATE_HEIGHT / light.lamp[2]
    draw_belt(canvas, part, throw * light.lamp[0], throw * light.lamp[1])
    draw_part(canvas, part)
    if defect is not None:
        defect(canvas)
    cover = canvas.defect.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING).mean(axis=(1, 3))
    mask = np.where(cover >= MASK_COVER, MASK_DEFECT, 0).astype(np.uint8)
    return photograph(illuminate(canvas, light), SUPERSAMPLING, camera, rng), mask


def _samples(kinds: list[str], seed: list[int], size: int, channels: int, difficulty: Difficulty) -> Iterator[Sample]:
    """Yield a sample per entry of `kinds`. Each has a generator of its own: it does not depend on the others."""
    seen = dict.fromkeys(kinds, 0)
    for index, kind in enumerate(kinds):
        pixels, mask = photo(kind, size, difficulty, np.random.default_rng([*seed, index]))
        if channels == 1:
            pixels = np.rint(pixels @ np.asarray(GREY_WEIGHTS))[..., None].astype(np.uint8)
        is_anomaly = kind != NORMAL_NAME
        name, its_mask = f"{kind}_{seen[kind]:03d}.png", mask if is_anomaly else None
        yield Sample(pixels, is_anomaly, name, its_mask, kind=kind)
        seen[kind] += 1


def _saved(samples: Iterator[Sample], folder: Path, split: str) -> Iterator[Sample]:
    """Yield the samples, writing each one's photo and mask on its way."""
    for sample in samples:
        kind = Path(sample.file_name.rpartition("_")[0])
        photos, masks = folder / split / kind, folder / "ground_truth" / kind
        photos.mkdir(parents=True, exist_ok=True)
        array = sample.pixels
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(photos / sample.file_name)
        if sample.mask is not None:
            masks.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.mask).save(masks / sample.file_name.replace(".png", "_mask.png"))
        yield sample


def _random_pose(rng: Generator, variation: float) -> Pose:
    """Return how a part comes to lie under the camera."""
    angle, shift_x, shift_y, zoom = variation * rng.normal(0, (0.02, 0.02, 0.02, 0.006))
    return Pose(float(angle), float(shift_x), float(shift_y), ZOOM * (1 + float(zoom)))
