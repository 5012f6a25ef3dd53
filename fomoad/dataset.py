"""A data directory, as a learning block is given it: images read batch by batch, labels, ids, masks.

Nothing is taken on trust: npy files are opened with pickles forbidden, every shape and type is checked, and
whatever is wrong is a UserError that says where.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad import scaling
from fomoad.errors import UserError
from fomoad.image_file import RESIZE_MODES

SplitName = Literal["train", "test"]

MIN_SIDE: Final = 32
"""Below this, a feature map at 1/8 leaves no cell after the stock pooling."""
MAX_JSON_BYTES: Final = 256 * 2**20
DEFAULT_CLASSES: Final = ("anomaly", "no anomaly")
"""What label index 1 and 2 mean where no info file says it."""
BATCH_BYTES: Final = 16 * 2**20
"""Images are read in batches of about this size: large enough to be fast, small beside any memory."""
IMAGE_TYPES: Final = ("uint8", "float16", "float32", "float64")


@dataclass(frozen=True)
class Info:
    """What the info file says that matters here."""

    classes: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    scaling: str | None = None
    """How the images are scaled, where the writer of the data directory says it."""
    resize: str | None = None
    """How photos were brought to the images' size (one of `RESIZE_MODES`), where the writer says it."""


@dataclass(frozen=True)
class ArrayFile:
    """An npy file whose rows are read when they are asked for.

    Each read maps the file anew and copies: pages of a large file do not pile up in this process, and a file
    that is removed in the meantime stays readable.
    """

    path: Path
    file: BinaryIO
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    fortran: bool

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Copy some rows, in the file's own type.

        Raises UserError where the file has shrunk since it was opened.
        """
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        try:
            mapped = np.memmap(self.file, self.dtype, "r", self.offset, self.shape, order)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} changed while it was read ({error}): run again on unchanging data."
            ) from error
        return np.array(mapped[rows])


@dataclass(frozen=True)
class Images:
    """Images of one split, as the model wants them: float32 (n, height, width, channels) in `scaling`."""

    array: ArrayFile
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
        return values.astype(np.float32)

    def batches(self, size: int | None = None) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield (rows, images) from first to last, in batches of `size` or of about BATCH_BYTES."""
        if size is None:
            size = max(1, BATCH_BYTES // (4 * int(np.prod(self.shape))))
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
    masks: ArrayFile | None
    resize: str | None = None

    def __len__(self) -> int:
        return 0 if self.images is None else len(self.images)


def read_info(path: Path | None, directory: Path) -> Info:
    """Read the info file, or `train_input.json` in the data directory where none is named and there is one.

    Unknown keys are ignored. Raises UserError where the file is missing, no JSON, or its keys have wrong types.
    """
    if path is None:
        path = directory / "train_input.json"
        if not path.is_file():
            return Info()
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"The info file {path} holds no JSON object: give the train_input.json of the block.")
    classes = content.get("classes")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UserError(f"In the info file {path}, 'classes' is no list of names: correct or remove it.")
    return Info(
        tuple(classes) if classes else None,
        _input_shape(content),
        _known(content.get("imageInputScaling"), scaling.SCALINGS),
        _known(content.get("imageResize"), RESIZE_MODES),
    )


def _known(value: Any, choices: tuple[str, ...]) -> str | None:
    """The value if it is one of the choices: keys of other writers may mean something else."""
    return value if isinstance(value, str) and value in choices else None


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError where it is missing, too large, too deep or no JSON."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file: give a JSON file.")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UserError(
                f"{path} is larger than {MAX_JSON_BYTES // 2**20} MiB: this is no file of a data directory."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give an existing file.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no valid JSON ({str(error)[:100]}): write it anew.") from error


def open_split(directory: Path, name: SplitName, image_scaling: str, info: Info) -> Split:
    """Open one split of a data directory. An empty test split has `images` None.

    Raises UserError for every file that is missing, damaged or does not fit the others.
    """
    if not directory.is_dir():
        raise UserError(f"The data directory {directory} does not exist: give the folder that holds X_split_train.npy.")
    if info.scaling not in (None, image_scaling):
        raise UserError(
            f"The info file of {directory} says that its images are scaled {info.scaling}, not {image_scaling}: "
            f"give --image-input-scaling={info.scaling}."
        )
    images = _open_images(directory, name, image_scaling, info)
    if images is None:
        return Split(None, [], [], [], None)
    count = len(images)
    labels, ids = _read_labels(directory, name, count, info)
    key = "train" if name == "train" else "validation"
    ids = _row_list(directory / "sample_id_details.json", key, count) or ids or [str(row + 1) for row in range(count)]
    file_names = _row_list(directory / "sample_file_names.json", key, count)
    masks = _open_masks(directory / f"masks_split_{name}.npy", images) if name == "test" else None
    names: list[str | None] = list(file_names) if file_names else [None] * count
    return Split(images, labels or [None] * count, ids, names, masks, info.resize)


def open_array(path: Path) -> ArrayFile | None:
    """Open an npy file without reading its data; None for a file of zero bytes.

    Raises UserError for a file that is missing, cut off, no npy, or holds Python objects.
    """
    try:
        if path.stat().st_size == 0:
            return None
        file = path.open("rb")
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it does not begin as an npy file does")
        with np.errstate(over="ignore"):  # a header may claim more bytes than can be counted; mapping them fails
            mapped = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
        fortran = bool(mapped.flags.f_contiguous and not mapped.flags.c_contiguous)
        return ArrayFile(path, file, mapped.dtype, mapped.shape, mapped.offset, fortran)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give an existing npy file.") from error
    except Exception as error:  # NumPy passes on whatever Python's tokenizer and evaluator raise for a header
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged or no npy file of numbers ({reason}): write it anew.") from error


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
    if array.dtype.name not in IMAGE_TYPES:
        raise UserError(
            f"{path} holds {array.dtype}, not images: write it as float32 (taken: {', '.join(IMAGE_TYPES)})."
        )
    shape = array.shape[1:]
    if len(shape) == 1:
        shape = _shape_of_flat(path, shape[0], info)
    if len(shape) != 3 or shape[2] not in scaling.CHANNEL_COUNTS:
        raise UserError(
            f"{path} has the shape {array.shape}, which is no list of images: it must be "
            "(images, height, width, channels) with 1 or 3 channels."
        )
    if min(shape[:2]) < MIN_SIDE:
        raise UserError(
            f"{path} holds images of {shape[0]} x {shape[1]} pixels: at least {MIN_SIDE} a side are needed."
        )
    return Images(array, (shape[0], shape[1], shape[2]), image_scaling)


def _shape_of_flat(path: Path, values: int, info: Info) -> tuple[int, ...]:
    """The image shape behind one flat row of the older layout."""
    if info.input_shape and len(info.input_shape) == 3 and int(np.prod(info.input_shape)) == values:
        return info.input_shape
    for channels in (3, 1):
        side = round((values / channels) ** 0.5)
        if side * side * channels == values:
            return side, side, channels
    raise UserError(f"The rows of {path} hold {values} values, which is no square image of 1 or 3 channels.")


def _open_masks(path: Path, images: Images) -> ArrayFile | None:
    if not path.exists():
        return None
    masks = open_array(path)
    expected = (len(images), *images.shape[:2])
    if masks is None or masks.shape != expected or masks.dtype != np.uint8:
        found = "nothing" if masks is None else f"{masks.dtype} {masks.shape}"
        raise UserError(f"{path} holds {found}, but the images need uint8 {expected}: write it anew or remove it.")
    return masks


def _read_labels(
    directory: Path, name: SplitName, count: int, info: Info
) -> tuple[list[str | None] | None, list[str] | None]:
    """Labels and sample ids of a split, each None where the directory does not tell."""
    names = (f"Y_split_{name}.npy", f"Y_split_{name}.json", f"y_{name}.npy")
    path = next((p for p in (directory / n for n in names) if p.is_file() and p.stat().st_size), None)
    if path is None:
        return None, None
    if _looks_like_json(path):
        return _labels_of_json(path, read_json(path), count, info)
    array = open_array(path)
    assert array is not None, "files of zero bytes were passed over"
    if len(array.shape) not in (1, 2) or array.dtype.kind not in "iufb" or len(array) != count:
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}, which are no labels of {count} images: it must be int32 "
            f"({count}, 4) or one-hot rows."
        )
    rows = array.rows(slice(None))
    classes = info.classes or DEFAULT_CLASSES
    if rows.ndim == 1:
        return [_class_name(path, int(index), classes) for index in rows], None
    if _one_hot(rows, classes):
        return [_class_name(path, int(index) + 1, classes) for index in rows.argmax(axis=1)], None
    if rows.shape[1] != 4:
        raise UserError(
            f"{path} has {rows.shape[1]} columns and no one-hot rows: labels have 4 columns or are one-hot."
        )
    labels: list[str | None] = [_class_name(path, int(index), classes) for index in rows[:, 0]]
    return labels, [str(int(sample)) for sample in rows[:, 1]]


def _one_hot(rows: NDArray[Any], classes: tuple[str, ...]) -> bool:
    """Whether each row has a single 1. Four columns are only one-hot where there are four classes."""
    if rows.shape[1] == 4 and len(classes) != 4:
        return False
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _labels_of_json(
    path: Path, content: Any, count: int, info: Info
) -> tuple[list[str | None] | None, list[str] | None]:
    """Labels of a JSON list (names or class indices from 1), or of {"samples": [{"sampleId", "label"}]}."""
    samples = content.get("samples") if isinstance(content, dict) else content
    if not isinstance(samples, list) or len(samples) != count:
        raise UserError(f"{path} is no JSON list of {count} labels, one an image: write it anew or remove it.")
    classes = info.classes or DEFAULT_CLASSES
    labels: list[str | None] = []
    ids: list[str] = []
    for sample in samples:
        label = sample.get("label") if isinstance(sample, dict) else sample
        if isinstance(sample, dict) and isinstance(sample.get("sampleId"), int | str):
            ids.append(str(sample["sampleId"]))
        if isinstance(label, int) and not isinstance(label, bool):
            label = _class_name(path, label, classes)
        if label is not None and not isinstance(label, str):
            raise UserError(f"{path} holds a label that is neither a name nor a number: {str(label)[:50]!r}.")
        labels.append(label)
    return labels, ids if len(ids) == count else None


def _class_name(path: Path, index: int, classes: tuple[str, ...]) -> str:
    """The name of a label index, which counts from 1."""
    if not 1 <= index <= len(classes):
        raise UserError(
            f"{path} holds the label index {index}, but there are the classes 1 to {len(classes)} "
            f"({', '.join(classes)[:100]}): correct the labels or the info file's classes."
        )
    return classes[index - 1]


def _row_list(path: Path, key: str, count: int) -> list[str] | None:
    """A list of one string a row from a JSON file; None where there is no such file or key."""
    if not path.is_file():
        return None
    content = read_json(path)
    values = content.get(key) if isinstance(content, dict) else None
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != count or not all(isinstance(v, int | str) for v in values):
        raise UserError(f"In {path}, {key!r} is no list of {count} entries, one an image: write it anew or remove it.")
    return [str(value) for value in values]


def _looks_like_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] in (b"[", b"{")


def _input_shape(content: dict[str, Any]) -> tuple[int, ...] | None:
    """The image shape in an info file's inputShapeString, such as "(96, 96, 3)"."""
    text = content.get("inputShapeString")
    if not isinstance(text, str):
        return None
    parts = text.strip("()[] ").split(",")
    if len(parts) > 4 or not all(part.strip().isdecimal() and len(part.strip()) < 6 for part in parts):
        return None
    return tuple(int(part) for part in parts)
