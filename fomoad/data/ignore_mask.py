"""The picture that says which part of all images does not count: white is ignored."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data.image_file import place, read_mask


@dataclass(frozen=True)
class IgnoreMask:
    """The share (height, width) of each pixel of a model's input that is ignored, and the SHA-256 of the picture."""

    shares: NDArray[np.float32]
    sha256: str


def read(path: Path, shape: tuple[int, int], resize: str) -> IgnoreMask:
    """Read a mask for a model's input of this `shape` (height, width).

    The picture may have any size. It is brought to the input as photos are: drawn over a photo it fits, and so it does
    in the input's own size. What surrounds a photo that is fitted by its long side counts.

    Raises UserError for a file that is missing, broken, or too small to be cropped.
    """
    mask = read_mask(path)
    fitted = place(mask.size, shape[::-1], resize).apply(mask.convert("F"), Image.Resampling.BOX)
    return IgnoreMask(np.asarray(fitted, np.float32) / 255, digest(path))


def digest(path: Path) -> str:
    """The SHA-256 of a picture's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
