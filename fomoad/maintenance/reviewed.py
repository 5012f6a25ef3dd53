"""Photos that a person sorted, as a model's images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data import scaling
from fomoad.data.image_file import RESIZE_MODES, SUFFIXES, pixels, place, read_image
from fomoad.errors import UserError
from fomoad.metadata import InputInfo


@dataclass(frozen=True)
class Reviewed:
    """Photos' names below their folder, and the images (n, height, width, channels) as the model takes them."""

    names: list[str]
    images: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, wanted: NDArray[np.bool_]) -> "Reviewed":
        """Those that are wanted (n,)."""
        return Reviewed([name for name, keep in zip(self.names, wanted, strict=True) if keep], self.images[wanted])


def read(folder: Path, taken: InputInfo) -> Reviewed:
    """Read all photos of a folder, fitted as the training's were.

    Raises UserError where there is none, or one cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give one with reviewed photos.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not shown:
        raise UserError(f"There are no photos in {folder}: put reviewed photos there.")
    resize = taken.resize if taken.resize in RESIZE_MODES else "squash"
    images = np.empty((len(shown), taken.height, taken.width, taken.channels), np.float32)
    for number, path in enumerate(shown):
        photo = read_image(path, taken.channels)
        fitted = place(photo.size, (taken.width, taken.height), resize).apply(photo, Image.Resampling.BILINEAR)
        images[number] = scaling.from_pixels(pixels(fitted), taken.scaling)
    return Reviewed([path.relative_to(folder).as_posix() for path in shown], images)
