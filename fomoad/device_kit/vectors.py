"""Test vectors: images as a camera gives them, and what the model's input, output and verdict then must be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data.image_file import pixels, place, read_image
from fomoad.data.scaling import from_pixels
from fomoad.device import micro
from fomoad.device_kit.facts import Facts
from fomoad.inference.image_paths import image_paths
from fomoad.inference.predict import ANOMALY, Detector, describe

COUNT: Final = 12
LONGEST_SIDE: Final = 320
"""Photos are made smaller than this, as a camera of a small device would be."""
FORMATS: Final = ("rgb888", "rgb565le", "rgb565be", "grey")
"""In the order of the numbers in fomoad.h."""
MADE_SIZE: Final = (160, 120)


@dataclass(frozen=True)
class CameraImage:
    """An image as bytes from a camera, row by row, and the same image as `fomoad predict` reads it."""

    format: str
    width: int
    height: int
    content: bytes
    image: Image.Image


def vectors(facts: Facts, photos: Sequence[str]) -> dict[str, bytes]:
    """File names to contents. Photos are files or folders; without any, patterns are made."""
    files: dict[str, bytes] = {}
    lines = []
    for number, camera in enumerate(_images(facts.detector, photos)):
        name = f"{number:02}"
        stored = model_input(facts.detector, camera.image)
        output = run_model(facts, stored)
        files |= {
            f"{name}.camera": camera.content,
            f"{name}.input": stored.tobytes(),
            f"{name}.output": output.tobytes(),
        }
        lines.append(_line(facts.detector, name, camera, output))
    return files | {"vectors.txt": "".join(lines).encode()}


def model_input(detector: Detector, image: Image.Image) -> NDArray[Any]:
    """The input (1, height, width, channels) that `fomoad predict` gives the model for an image, as it is stored."""
    _, height, width, channels = detector.model.input.shape
    image = image.convert("L" if channels == 1 else "RGB")
    fitted = pixels(place(image.size, (width, height), detector.resize).apply(image, Image.Resampling.BILINEAR))
    stored: NDArray[Any] = detector.model.input.encode(from_pixels(fitted, detector.scaling))[None]
    return stored


def run_model(facts: Facts, stored: NDArray[Any]) -> NDArray[Any]:
    """The stored output (rows, columns), by TFLite Micro where it is installed, else by LiteRT."""
    if micro.available():
        output: NDArray[Any] = micro.run(facts.content, stored, facts.arena_bytes)[0]
        return output
    by_litert: NDArray[Any] = facts.detector.model.run(stored)[0]
    return by_litert


def camera_image(image: Image.Image, form: str) -> CameraImage:
    """An RGB image as a camera of a format (one of FORMATS) would give it."""
    width, height = image.size
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0).astype(np.uint16)
    if form == "rgb888":
        return CameraImage(form, width, height, image.convert("RGB").tobytes(), image.convert("RGB"))
    if form == "grey":
        return CameraImage(form, width, height, image.convert("L").tobytes(), image.convert("L"))
    packed = (red >> 3 << 11) | (green >> 2 << 5) | (blue >> 3)
    content = packed.astype("<u2" if form == "rgb565le" else ">u2").tobytes()
    return CameraImage(form, width, height, content, Image.fromarray(_unpacked(packed)))


def _unpacked(packed: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """RGB (height, width, 3) of 5, 6 and 5 bits: the highest bits fill the lowest, so that white stays white."""
    red, green, blue = packed >> 11, packed >> 5 & 63, packed & 31
    wide = (red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2)
    rgb: NDArray[np.uint8] = np.stack(wide, axis=-1).astype(np.uint8)
    return rgb


def _images(detector: Detector, photos: Sequence[str]) -> Iterator[CameraImage]:
    found = [path for path, _ in image_paths(photos)] if photos else []
    chosen = [found[index * len(found) // COUNT] for index in range(COUNT)] if len(found) > COUNT else found
    images = (_smaller(detector, path) for path in chosen) if chosen else _made(detector)
    for number, image in enumerate(images):
        yield camera_image(image, FORMATS[number % len(FORMATS)])


def _smaller(detector: Detector, path: Path) -> Image.Image:
    image = read_image(path, 3)
    if detector.resize != "crop":
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return image


def _made(detector: Detector) -> Iterator[Image.Image]:
    """Patterns of blocks from fine to coarse, of another size each."""
    random = np.random.default_rng(1)
    _, height, width, _ = detector.model.input.shape
    for number in range(COUNT):
        block = 1 + number * 2
        size = (max(width, MADE_SIZE[0]) + 5 * number, max(height, MADE_SIZE[1]) + 7 * number)
        coarse = random.integers(0, 256, (-(-size[1] // block), -(-size[0] // block), 3), dtype=np.uint8)
        yield Image.fromarray(coarse.repeat(block, axis=0).repeat(block, axis=1)[: size[1], : size[0]])


def _line(detector: Detector, name: str, camera: CameraImage, output: NDArray[Any]) -> str:
    """Name, format, size, highest stored score, verdict and boxes with their stored scores, as self_test.c reads."""
    spec = detector.model.output
    geometry = place(camera.image.size, (detector.model.input.shape[2], detector.model.input.shape[1]), detector.resize)
    said = describe(spec.decode(output), detector.threshold, detector.cells, geometry)
    fields = [name, FORMATS.index(camera.format), camera.width, camera.height, output.max()]
    fields += [int(said["verdict"] == ANOMALY), len(said["boxes"])]
    for box in said["boxes"]:
        stored = round(box["score"] / (spec.scale or 1)) + (spec.zero_point or 0)
        fields += [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"], stored]
    return " ".join(map(str, fields)) + "\n"
