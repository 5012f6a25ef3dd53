"""Image files of any kind to plain pixels, and the ways to bring them to a model's size.

`fomoad predict` starts here, so this module imports NumPy and Pillow only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin

from fomoad.errors import UserError

SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2"}
)
"""Files whose names end otherwise are not taken for images."""

BACKGROUND: Final = (255, 255, 255, 255)
"""What shows through transparent pixels: white, as in most viewers."""

PADDING: Final = 0
"""What surrounds an image that is fitted by its long side: black, as in Edge Impulse."""

_SIXTEEN_TO_EIGHT_BITS: Final = 257
_REDUCTION: Final = "fomoad reduction"

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

RESIZE_MODES: Final = ("squash", "fit-short", "fit-long", "crop")

MAX_PIXELS: Final = 64_000_000
"""An image of more pixels is refused: a file of some hundred KB can ask for gigabytes."""

_PLUGINS: Final = (
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
)
MAX_GREY: Final = 255
MASK_MARGIN: Final = 30
MASK_SHARE: Final = 0.97
"""Masks with smooth edges have hundreds of values, but of the magnetic tiles' 1344 each has 99 % of its pixels within
MASK_MARGIN of black or white, and of their photos none has more than 53 %."""
_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", *(str(plugin.format) for plugin in _PLUGINS))
"""What Pillow may take a file for, whatever its name: others run programs (EPS) or are no photos."""
_LARGEST_REDUCTION: Final = 8
"""JPEG is decoded at 1/2, 1/4 or 1/8 of its size for a fraction of the memory."""


@dataclass(frozen=True)
class Placement:
    """Which part of an image becomes which part of a model's input of `size` (width, height)."""

    size: tuple[int, int]
    source: Box
    target: tuple[int, int, int, int]

    def apply(self, image: Image.Image, resample: Image.Resampling) -> Image.Image:
        """Return the image at the model's size. Pillow's filters widen when they shrink, so nothing aliases."""
        left, top, right, bottom = self.target
        part = image.resize((right - left, bottom - top), resample, box=self.source)
        if part.size == self.size:
            return part
        fitted = Image.new(image.mode, self.size, PADDING)
        fitted.paste(part, (left, top))
        return fitted

    def to_image(self, box: Box) -> Box:
        """Return where a box of the model's input lies in the image; parts in the padding are cut off."""
        left, top, right, bottom = self.target
        across = (self.source[2] - self.source[0]) / (right - left)
        down = (self.source[3] - self.source[1]) / (bottom - top)
        x0, x1 = (self.source[0] + (min(max(x, left), right) - left) * across for x in (box[0], box[2]))
        y0, y1 = (self.source[1] + (min(max(y, top), bottom) - top) * down for y in (box[1], box[3]))
        return x0, y0, x1, y1


def place(image_size: tuple[int, int], size: tuple[int, int], resize: str) -> Placement:
    """Return how an image (width, height) comes to a model's size (width, height).

    - squash: all of it, each side scaled by itself.
    - fit-short: scaled evenly until it covers the size; what juts out at two sides is cut off.
    - fit-long: scaled evenly until it lies within the size; black fills what remains at two sides.
    - crop: the middle, not scaled.

    Raises UserError where an image is too small to be cropped.
    """
    (width, height), (to_width, to_height) = image_size, size
    if resize == "squash":
        return Placement(size, (0, 0, width, height), (0, 0, to_width, to_height))
    if resize == "fit-long":
        scale = min(to_width / width, to_height / height)
        kept = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (to_width - kept[0]) // 2, (to_height - kept[1]) // 2
        return Placement(size, (0, 0, width, height), (left, top, left + kept[0], top + kept[1]))
    if resize == "crop":
        if width < to_width or height < to_height:
            raise UserError(
                f"An image of {width} x {height} pixels is too small to cut {to_width} x {to_height} out of it: "
                "use --resize fit-short."
            )
        left, top = (width - to_width) // 2, (height - to_height) // 2
        return Placement(size, (left, top, left + to_width, top + to_height), (0, 0, to_width, to_height))
    scale = max(to_width / width, to_height / height)
    across, down = min(width, to_width / scale), min(height, to_height / scale)
    left_cut, top_cut = (width - across) / 2, (height - down) / 2
    return Placement(size, (left_cut, top_cut, left_cut + across, top_cut + down), (0, 0, to_width, to_height))


def read_image(path: Path, channels: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the image upright, as 8-bit grey (1 channel, mode L) or RGB (3 channels).

    Transparent pixels show BACKGROUND. 16-bit grey keeps its brightness: 65535 becomes 255. Of an animation or
    a file of several pages, the first is read. A JPEG file of more than `max_pixels` is read at a half, a quarter or
    an eighth of its size; `reduction` says which.

    Raises UserError for a file that is missing, broken, too large or of a kind that has no plain pixels.
    """
    image = _open(path, max_pixels)
    try:
        return _plain(image, "L" if channels == 1 else "RGB", path)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # a palette that is missing, a mode that cannot be converted
        raise _unreadable(path, error) from error


def _plain(image: Image.Image, mode: str, path: Path) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _from_deep_grey(image, path)
    elif image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), over)
    return image if image.mode == mode else image.convert(mode)


def reduction(image: Image.Image) -> int:
    """How many times smaller each side of an image was read than it is in its file: 1, 2, 4 or 8."""
    return int(image.info.get(_REDUCTION, 1))


def read_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return a mask in mode L, 255 where the file's value is above half its highest (0/1, 0/255, class colours).

    Raises UserError for a file that is missing or broken.
    """
    image = _open(path, max_pixels)
    try:
        values: NDArray[Any] = np.asarray(image if image.mode[0] in "IF" else image.convert("L"))
    except ValueError as error:
        raise _unreadable(path, error) from error
    return Image.fromarray(np.where(values > values.max() / 2, 255, 0).astype(np.uint8))


def looks_like_mask(path: Path) -> bool:
    """Whether an image file holds a mask rather than a photo: nearly all of it is nearly black or white."""
    try:
        grey = np.asarray(_open(path, MAX_PIXELS).convert("L"))
    except (UserError, ValueError):
        return False
    extreme = (grey < MASK_MARGIN) | (grey > MAX_GREY - MASK_MARGIN)
    return float(extreme.mean()) >= MASK_SHARE


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image in mode L or RGB as an array (height, width, channels)."""
    array: NDArray[np.uint8] = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def shrunk_mask(mask: Image.Image, geometry: Placement) -> NDArray[np.uint8]:
    """Return a mask at the model's size (height, width), by nearest neighbour.

    A defect so fine that no sample hits it is kept by taking every pixel that it touches.
    """
    nearest = np.asarray(geometry.apply(mask, Image.Resampling.NEAREST))
    if nearest.any() or not mask.getbbox():
        return nearest
    touched = np.asarray(geometry.apply(mask.convert("F"), Image.Resampling.BOX)) > 0
    return np.where(touched, 255, 0).astype(np.uint8)


def _open(path: Path, max_pixels: int) -> Image.Image:
    """Return the file's image, decoded and turned as its EXIF data say."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"The image {path} is no file but a folder, pipe or device: give image files.")
        with Image.open(path, formats=_FORMATS) as image:
            reduced = _reduce(image, path, max_pixels)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if reduced > 1:
                image.info[_REDUCTION] = reduced
            return image
    except (MemoryError, UserError):
        raise
    except Exception as error:  # each of Pillow's decoders raises what it likes: SyntaxError, struct.error ...
        raise _unreadable(path, error) from error


def _reduce(image: Image.Image, path: Path, max_pixels: int) -> int:
    """Make an image that is not decoded yet small enough, and return by how much; UserError where that cannot be."""
    width, height = image.size
    for factor in (1, 2, 4, _LARGEST_REDUCTION) if image.format in ("JPEG", "MPO") else (1,):
        if (width // factor) * (height // factor) <= max_pixels:
            if factor > 1:
                image.draft(None, (width // factor, height // factor))
            return factor
    raise UserError(
        f"The image {path} has {width} x {height} pixels: at most {max_pixels:,} are taken. Make it smaller, or allow "
        "more with --max-pixels."
    )


def _from_deep_grey(image: Image.Image, path: Path) -> Image.Image:
    """Return grey of more than 8 bits as 8 bits. The scale is that of 16 bits, the same for every image."""
    values: NDArray[Any] = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise UserError(
            f"The image {path} has values of more than 16 bits, of which nobody can say what is white: "
            "save it with 8 or 16 bits."
        )
    return Image.fromarray(np.rint(values / _SIXTEEN_TO_EIGHT_BITS).astype(np.uint8))


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"There is no image {path}: give the path of an image file.")
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    if str(path) in reason:
        reason = "no known image format"
    return UserError(f"The image {path} cannot be read ({reason}): it is broken, cut off or no image.")
