"""Overlay pictures as files: named after their images, and never over a file that is no overlay."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image, PngImagePlugin

from fomoad.data.new_file import replace_file, write_new
from fomoad.errors import UserError

_KEY, _VALUE = "Software", "fomoad predict --overlay"
"""A text within the PNG file."""
_MARK: Final = f"{_KEY}\0{_VALUE}".encode()
_MARK_WITHIN: Final = 200
"""Pillow writes texts before pixels: the mark lies within so many bytes."""


@dataclass
class OverlayNames:
    """File names for overlays: two images never share one, and the same image keeps its own."""

    _taken: dict[Path, Path] = field(default_factory=dict)

    def name(self, image: Path, relative: Path) -> Path:
        """The name for an image, which lies at `relative` below what the user gave."""
        number = 1
        while True:
            suffix = ".png" if number == 1 else f"_{number}.png"
            name = relative.with_name(relative.stem + suffix)
            if self._taken.setdefault(name, image) == image:
                return name
            number += 1


def save(picture: Image.Image, path: Path, image: Path) -> Path:
    """Write a PNG whole, over an earlier overlay of `image` or where nothing has this name.

    Raises UserError where that cannot be done, and where a photo or anything else that is no overlay has the name.
    """
    marks = PngImagePlugin.PngInfo()
    marks.add_text(_KEY, _VALUE)
    content = io.BytesIO()
    picture.save(content, "PNG", pnginfo=marks)
    try:
        if _is_overlay(path) and not path.samefile(image):
            replace_file(path, content.getvalue())
        else:
            write_new(path, content.getvalue())
    except FileExistsError as error:
        raise UserError(f"{path} is no overlay of fomoad, so it stays: give another --overlay folder.") from error
    except OSError as error:
        raise UserError(
            f"The overlay {path} cannot be written ({error.strerror or error}): give another folder."
        ) from error
    return path


def _is_overlay(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK in file.read(_MARK_WITHIN)
