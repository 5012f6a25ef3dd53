"""A data directory, as a learning block is given it: images read batch by batch, labels, ids, masks.

Nothing is taken on trust: every shape and type is checked, and whatever is wrong is a UserError that says where.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad.data import scaling
from fomoad.data.info_file import Info, read_info
from fomoad.data.label_file import read_labels, read_row_list
from fomoad.data.npy_file import ArrayFile, ArrayInMemory, ChosenRows, Rows, open_array
from fomoad.data.tiles import PhotoRows, Tiling
from fomoad.errors import UserError

SplitName = Literal["train", "test"]

MIN_SIDE: Final = 32
"""Below this, a feature map at 1/8 leaves no cell after the stock pooling."""
BATCH_BYTES: Final = 16 * 2**20
"""Images are read in batches of about this size: large enough to be fast, small beside any memory."""
MOST_OBLONG: Final = 10.0
"""A picture is shown with no side longer than so many times the other."""
IMAGE_TYPES: Final = ("uint8", "float16", "float32", "float64")


@dataclass(frozen=True)
class Images:
    """Images of one split, as the model wants them: float32 (n, height, width, channels) in `scaling`."""

    array: Rows
    shape: tuple[int, int, int]
    scaling: str

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Read some images. uint8 files hold plain pixels, which are scaled here; others are scaled already."""
        values = self.array.rows(rows)
        values = values.reshape(len(values), *self.shape)
        if values.dtype == np.uint8:
            return scaling.from_pixels(values, self.scaling)
        return values.astype(np.float32, copy=False)

    def first(self) -> NDArray[np.float32]:
        """The first image, as a batch of one."""
        return self.rows(slice(0, 1))

    def batch_size(self) -> int:
        """How many images are read at a time where nobody says it."""
        return max(1, BATCH_BYTES // (4 * int(np.prod(self.shape))))

    def batches(self, size: int | None = None) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield (rows, images) from first to last, in batches of `size` or of about BATCH_BYTES."""
        size = size or self.batch_size()
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.rows(rows)


@dataclass(frozen=True)
class Split:
    """The training or the test half of a data directory. All lists are in row order.

    `labels` are class names, None where there are none; `masks` is (N, height, width), above 127 where the defect is.
    """

    images: Images | None
    labels: list[str | None]
    ids: list[str]
    file_names: list[str | None]
    masks: Rows | None
    resize: str | None = None
    photo_sizes: list[str] | None = None
    """Such as "640x480", where the photos are known that the images were made of."""
    tiling: Tiling | None = None
    """How the images were cut out of photos; None where each image is a whole photo."""

    def __len__(self) -> int:
        return 0 if self.images is None else len(self.images)

    def without(self, rows: NDArray[np.int64]) -> "Split":
        """The split without the images of these rows. It has no masks."""
        kept = np.setdiff1d(np.arange(len(self)), rows)
        images = self.images and replace(self.images, array=ChosenRows(self.images.array, kept))
        labels, ids, names = ([of[row] for row in kept] for of in (self.labels, self.ids, self.file_names))
        sizes = self.photo_sizes and [self.photo_sizes[row] for row in kept]
        return replace(self, images=images, labels=labels, ids=ids, file_names=names, masks=None, photo_sizes=sizes)

    def photos(self) -> "Split":
        """The split with whole photos in the place of their tiles; itself where its images are whole photos."""
        if self.tiling is None or self.images is None:
            return self
        height, width, channels = self.images.shape
        shape = (*self.tiling.photo_shape(height, width), channels)
        images = Images(PhotoRows(self.images.array, self.tiling, self.images.shape), shape, self.images.scaling)
        masks = self.masks and PhotoRows(self.masks, self.tiling, (height, width))
        first = slice(None, None, self.tiling.count)
        sizes = self.photo_sizes and self.photo_sizes[first]
        return Split(images, self.labels[first], self.ids[first], self.file_names[first], masks, self.resize, sizes)

    def proportions(self, row: int) -> float | None:
        """A photo's width divided by its height, where squeezing it to the images' size has changed that."""
        if self.resize != "squash" or self.photo_sizes is None:
            return None
        width, _, height = self.photo_sizes[row].partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) > 0 and int(height) > 0):
            return None
        return min(max(int(width) / int(height), 1 / MOST_OBLONG), MOST_OBLONG)


def open_split(directory: Path, name: SplitName, image_scaling: str, info: Info | None = None) -> Split:
    """Open one split of a data directory. An empty test split has `images` None.

    `info` is that of the directory's own info file where none is given.

    Raises UserError for every file that is missing, damaged or does not fit the others.
    """
    if not directory.is_dir():
        raise UserError(f"The data directory {directory} does not exist: give the folder that holds X_split_train.npy.")
    if info is None:
        info = read_info(None, directory)
    if info.scaling not in (None, image_scaling):
        raise UserError(
            f"The info file of {directory} says that its images are scaled {info.scaling}, not {image_scaling}: "
            f"give --image-input-scaling={info.scaling}."
        )
    images = _open_images(directory, name, image_scaling, info)
    if images is None:
        return Split(None, [], [], [], None)
    count = len(images)
    _check_tiles(directory, images, info.tiling)
    labels, ids = read_labels(directory, name, count, info)
    key = "train" if name == "train" else "validation"
    ids = read_row_list(directory / "sample_id_details.json", key, count) or ids
    file_names = read_row_list(directory / "sample_file_names.json", key, count)
    masks = _open_masks(directory / f"masks_split_{name}.npy", images) if name == "test" else None
    names: list[str | None] = list(file_names) if file_names else [None] * count
    ids = ids or [str(row + 1) for row in range(count)]
    sizes = read_row_list(directory / "sample_photo_sizes.json", key, count)
    return Split(images, labels or [None] * count, ids, names, masks, info.resize, sizes, info.tiling)


def images_in_memory(array: NDArray[Any], image_scaling: str) -> Images:
    """Images of an array: uint8 pixels, or values of the given scaling. Raises UserError for any other array."""
    return _images(ArrayInMemory(array), array.dtype, array.shape, image_scaling)


def split_in_memory(array: NDArray[Any], image_scaling: str, ids: Sequence[str] | None = None) -> Split:
    """Training images of an array; without sample ids each image is a sample of its own.

    Raises UserError for an array that is no list of images, and for ids that are not as many.
    """
    images = images_in_memory(array, image_scaling)
    count = len(images)
    if ids is not None and len(ids) != count:
        raise UserError(f"There are {len(ids)} sample ids for {count} images: give one for each image.")
    names = [str(row + 1) for row in range(count)] if ids is None else list(map(str, ids))
    return Split(images, [None] * count, names, [None] * count, None)


def check_values(images: Images, rows: slice, values: NDArray[np.float32]) -> tuple[float, float]:
    """Check one batch of images and return its lowest and highest value.

    Raises UserError for values that are not finite or cannot be of the stated scaling.
    """
    lowest, highest = float(values.min()), float(values.max())
    path = images.array.path
    if not np.isfinite(lowest + highest):
        bad = rows.start + int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2, 3)))[0])
        raise UserError(f"{path} holds NaN or infinity in row {bad}: remove or repair that image.")
    low, high = scaling.valid_range(images.scaling, images.shape[2])
    slack = 1e-3 * (high - low)
    if lowest < low - slack or highest > high + slack:
        raise UserError(
            f"{path} holds values from {lowest:g} to {highest:g}, which cannot be images scaled {images.scaling} "
            f"({low:g} to {high:g}): set --image-input-scaling to how the images are scaled."
        )
    return lowest, highest


def scaling_doubt(images: Images, lowest: float, highest: float) -> str | None:
    """One sentence where the values of all images could be of the stated scaling but hardly are, else None."""
    low, high = scaling.valid_range(images.scaling, images.shape[2])
    if images.scaling == "-1..1" and lowest >= 0:
        return "no value is below 0, which looks like images scaled 0..1 rather than -1..1"
    if highest - lowest < 0.02 * (high - low):
        return f"all values lie between {lowest:g} and {highest:g}, a small part of the range of {images.scaling}"
    return None


def _open_images(directory: Path, name: SplitName, image_scaling: str, info: Info) -> Images | None:
    path = directory / f"X_split_{name}.npy"
    if not path.exists():
        older = directory / f"X_{name}_features.npy"
        if older.exists():
            path = older
        elif name == "test":
            return None
    array = open_array(path)
    if array is None or (array.shape and array.shape[0] == 0):
        if name == "test":
            return None
        raise UserError(f"{path} holds no image: training needs at least 2 images of good parts.")
    shape = array.shape[1:]
    if array.dtype.name in IMAGE_TYPES and len(shape) == 1:
        shape = _shape_of_flat(path, shape[0], info)
    return _images(array, array.dtype, (*array.shape[:1], *shape), image_scaling)


def _images(array: Rows, dtype: np.dtype[Any], shape: tuple[int, ...], image_scaling: str) -> Images:
    """Check the type and the shape (images, height, width, channels). Raises UserError where they are no images'."""
    if dtype.name not in IMAGE_TYPES:
        raise UserError(
            f"{array.path} holds {dtype}, not images: write it as float32 (taken: {', '.join(IMAGE_TYPES)})."
        )
    if len(shape) != 4 or shape[3] not in scaling.CHANNEL_COUNTS:
        raise UserError(
            f"{array.path} has the shape {shape}, which is not a list of images: it must be "
            "(images, height, width, channels) with 1 or 3 channels."
        )
    if min(shape[1:3]) < MIN_SIDE:
        raise UserError(
            f"{array.path} holds images of {shape[1]} x {shape[2]} pixels: at least {MIN_SIDE} a side are needed."
        )
    return Images(array, (shape[1], shape[2], shape[3]), image_scaling)


def _shape_of_flat(path: Path, values: int, info: Info) -> tuple[int, ...]:
    """The image shape behind one flat row of the older layout."""
    if info.input_shape and len(info.input_shape) == 3 and int(np.prod(info.input_shape)) == values:
        return info.input_shape
    for channels in (3, 1):
        side = round((values / channels) ** 0.5)
        if side * side * channels == values:
            return side, side, channels
    raise UserError(f"The rows of {path} hold {values} values, which is no square image of 1 or 3 channels.")


def _check_tiles(directory: Path, images: Images, tiling: Tiling | None) -> None:
    """Raise UserError where the images cannot be tiles that photos were cut into like this."""
    if tiling is None:
        return
    height, width, _ = images.shape
    if len(images) % tiling.count or not tiling.fits(height, width):
        raise UserError(
            f"The info file of {directory} says that photos were cut into {tiling.rows} x {tiling.columns} tiles, but "
            f"its {len(images)} images of {width} x {height} pixels cannot be such: import the photos again."
        )


def _open_masks(path: Path, images: Images) -> ArrayFile | None:
    if not path.exists():
        return None
    masks = open_array(path)
    expected = (len(images), *images.shape[:2])
    if masks is None or masks.shape != expected or masks.dtype != np.uint8:
        found = "nothing" if masks is None else f"{masks.dtype} {masks.shape}"
        raise UserError(f"{path} holds {found}, but the images need uint8 {expected}: write it again or remove it.")
    return masks
