"""The one writer of a data directory: rows stream to npy files, which appear under their names at the end.

The files and their forms are Edge Impulse's (a custom learning block's input), and two of our own that only
testing reads: the defects' masks and the images' file names.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fomoad import locking, signals
from fomoad.data.label_names import ANOMALY, LABELS_FILE, NORMAL, LabelNames
from fomoad.data.scaling import from_pixels
from fomoad.data.tiles import Tiling
from fomoad.errors import UserError
from fomoad.progress import warn

CLASSES: Final = (ANOMALY, NORMAL)
"""The labels where nobody says what kinds of defect there are; sorted, as in the info file."""

INFO_FILE: Final = "train_input.json"
SAMPLE_IDS_FILE: Final = "sample_id_details.json"
FILE_NAMES_FILE: Final = "sample_file_names.json"
PHOTO_SIZES_FILE: Final = "sample_photo_sizes.json"
UNFINISHED: Final = ".unfinished"
MASKS_FILE: Final = "masks_split_test.npy"

MASK_DEFECT: Final = 255
"""The value of a defect's pixels in a mask; all others are 0."""


@dataclass(frozen=True)
class Sample:
    """One image on its way into a data directory."""

    pixels: NDArray[Any]
    """Shape (height, width, channels), 0 to 255, RGB or grey."""
    is_anomaly: bool
    file_name: str
    mask: NDArray[np.uint8] | None = None
    """Shape (height, width), 0 or MASK_DEFECT. None: there is no defect, or nobody marked it."""
    group: str | None = None
    """Images of one group share a sample id; None: the image has its own."""
    kind: str | None = None
    """The kind of defect that an anomaly shows, where it is known: its label."""
    photo_size: tuple[int, int] | None = None
    """Width and height of the photo that the image was made of."""

    @property
    def label(self) -> str:
        """The class that the image is of."""
        return (self.kind or ANOMALY) if self.is_anomaly else NORMAL


@dataclass(frozen=True)
class Written:
    """What a data directory now holds, in photos."""

    train: int
    test: int
    masks: bool
    train_samples: int
    """Groups of training images; an image without a group is one of its own."""
    shared_samples: int
    """Groups with images for training and for testing."""


def write_data_directory(
    directory: Path,
    train: Iterable[Sample],
    test: Iterable[Sample],
    scaling: str,
    resize: str | None = None,
    label_names: LabelNames | None = None,
    tiling: Tiling | None = None,
) -> Written:
    """Write the samples, one in memory at a time, as a data directory that replaces one of the same name.

    All images must have the shape of the first. Sample ids count from 1 through both splits, one for each group.
    Masks are kept only where every anomalous test image has one: a missing mask would count a defect's pixels as
    normal.
    `resize` is how photos were brought to this shape (one of RESIZE_MODES); prediction then does the same.
    `label_names` are kept with the data, and with them that every kind of defect means an anomaly.
    With a `tiling`, the samples are photos, and the images are their tiles; each has its photo's id and label.

    Raises UserError where the directory cannot be written or there is no training image.
    """
    with _files_that_appear_together(directory) as beside:
        samples = iter(train)
        first = next(samples, None)
        if first is None:
            raise UserError(f"There is no training image to write to '{directory}': give at least one.")
        cut = _Cut.of(tiling, first.pixels.shape)
        ids = _SampleIds()
        train_rows = _write_split(beside, "train", chain([first], samples), cut, scaling, ids)
        with _row_file(beside / MASKS_FILE, cut.shape[:2], np.uint8) as append_mask:
            with_masks = _passing_masks(test, append_mask, cut)
            test_rows = _write_split(beside, "test", with_masks, cut, scaling, ids)
        _write_json(beside / SAMPLE_IDS_FILE, {"train": train_rows.ids, "validation": test_rows.ids})
        _write_json(beside / FILE_NAMES_FILE, {"train": train_rows.names, "validation": test_rows.names})
        sizes = {"train": train_rows.photo_sizes, "validation": test_rows.photo_sizes}
        _write_json(beside / PHOTO_SIZES_FILE, sizes)
        classes = _classes([*train_rows.labels, *test_rows.labels])
        for split, rows in (("train", train_rows), ("test", test_rows)):
            _write_labels(beside / f"Y_split_{split}.npy", rows, classes)
        info = _info(cut, len(train_rows.ids), len(test_rows.ids), scaling, resize)
        _write_json(beside / INFO_FILE, info | {"classes": classes})
        kinds = LabelNames(anomaly=[name for name in classes if name not in CLASSES])
        names = (label_names or LabelNames()).over(kinds)
        if label_names or kinds.anomaly:
            _write_json(beside / LABELS_FILE, names.as_map())
        masks = _are_masks_whole(test_rows)
        if not masks:
            (beside / MASKS_FILE).unlink()
    train_ids = set(train_rows.ids)
    shared = train_ids & set(test_rows.ids)
    train_photos, test_photos = (len(rows.ids) // cut.count for rows in (train_rows, test_rows))
    return Written(train_photos, test_photos, masks, len(train_ids), len(shared))


@dataclass(frozen=True)
class _Cut:
    """How photos of the shape `photo` become images of `shape`, `count` of each."""

    tiling: Tiling | None
    photo: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tiling: Tiling | None, photo: tuple[int, ...]) -> "_Cut":
        if tiling is None:
            return cls(None, photo, photo)
        tile = photo[0] - (tiling.rows - 1) * tiling.down, photo[1] - (tiling.columns - 1) * tiling.across
        return cls(tiling, photo, (*tile, *photo[2:]))

    @property
    def count(self) -> int:
        return 1 if self.tiling is None else self.tiling.count

    def tiles(self, photo: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """The images of a photo, or the masks of its mask."""
        if self.tiling is None:
            return iter([photo])
        if photo.shape[:2] != self.photo[:2]:
            raise ValueError(f"A photo has shape {photo.shape} instead of {self.photo}.")
        return self.tiling.cut(photo, self.shape[0], self.shape[1])


@dataclass
class _Rows:
    """What remains in memory of a split."""

    ids: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    photo_sizes: list[str] = field(default_factory=list)
    anomalies_with_mask: int = 0
    anomalies_without_mask: list[str] = field(default_factory=list)


class _SampleIds:
    """Numbers from 1, a new one for each group and for each sample without one."""

    def __init__(self) -> None:
        self._given = 0
        self._groups: dict[str, int] = {}

    def of(self, sample: Sample) -> int:
        if sample.group in self._groups:
            return self._groups[sample.group]
        self._given += 1
        if sample.group is not None:
            self._groups[sample.group] = self._given
        return self._given


def _write_split(
    directory: Path,
    split: str,
    samples: Iterable[Sample],
    cut: _Cut,
    scaling: str,
    ids: "_SampleIds",
) -> _Rows:
    """Write X_split_*.npy."""
    rows = _Rows()
    with _row_file(directory / f"X_split_{split}.npy", cut.shape, np.float32) as append_image:
        for sample in samples:
            sample_id = ids.of(sample)
            for tile in cut.tiles(sample.pixels):
                append_image(from_pixels(tile, scaling))
                rows.labels.append(sample.label)
                rows.ids.append(sample_id)
                rows.names.append(sample.file_name)
                rows.photo_sizes.append("x".join(map(str, sample.photo_size or (cut.photo[1], cut.photo[0]))))
            if sample.is_anomaly and sample.mask is None:
                rows.anomalies_without_mask.append(sample.file_name)
            rows.anomalies_with_mask += sample.is_anomaly and sample.mask is not None
    return rows


def _classes(labels: list[str]) -> list[str]:
    """The classes of the info file, sorted: those of the labels, or CLASSES where no kind of defect is known."""
    return sorted({*labels, *CLASSES} if set(labels) <= set(CLASSES) else {*labels, NORMAL})


def _write_labels(path: Path, rows: _Rows, classes: list[str]) -> None:
    """Write Y_split_*.npy. Its columns: the class, counted from 1, the sample id, slice start and end."""
    numbers = [classes.index(label) + 1 for label in rows.labels]
    zeros = np.zeros(len(numbers))
    np.save(path, np.column_stack([numbers, rows.ids, zeros, zeros]).astype(np.int32).reshape(-1, 4))


def _passing_masks(
    samples: Iterable[Sample], append_mask: Callable[[NDArray[Any]], None], cut: _Cut
) -> Iterator[Sample]:
    """Yield the samples, writing each one's mask on its way: zeros where it has none."""
    for sample in samples:
        for tile in cut.tiles(np.zeros(cut.photo[:2], np.uint8) if sample.mask is None else sample.mask):
            append_mask(tile)
        yield sample


def _are_masks_whole(rows: _Rows) -> bool:
    """Return whether every anomalous image has a mask, and warn where only some have."""
    missing = rows.anomalies_without_mask
    if missing and rows.anomalies_with_mask:
        anomalies = len(missing) + rows.anomalies_with_mask
        warn(
            f"{len(missing)} of {anomalies} anomalous test images have no mask "
            f"(the first is '{missing[0]}'): no masks are written, testing will give no figures per pixel."
        )
    return rows.anomalies_with_mask > 0 and not missing


@contextmanager
def _row_file(path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Open an npy file of unknown length and give the function that appends a row of `row_shape` to it."""
    count = 0

    with path.open("wb") as file:

        def append(row: NDArray[Any]) -> None:
            nonlocal count
            if row.shape != row_shape:
                raise ValueError(f"Row {count} of {path.name} has shape {row.shape} instead of {row_shape}.")
            file.write(np.ascontiguousarray(row, dtype=dtype).tobytes())
            count += 1

        _write_header(file, (count, *row_shape), dtype)
        yield append
        file.seek(0)
        _write_header(file, (count, *row_shape), dtype)


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Write an npy header. numpy leaves room in it for any number of rows, so its length stays the same."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]


@contextmanager
def _files_that_appear_together(directory: Path) -> Iterator[Path]:
    """Give a folder for new files, which move into `directory` at the end, or vanish if anything fails or is killed.

    Raises UserError where another run writes to the directory, or it cannot be written.
    """
    made = locking.missing_folders(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locking.hold(directory, "data directory"):
            beside = directory / UNFINISHED
            with signals.removed_if_killed(beside, made):
                shutil.rmtree(beside, ignore_errors=True)  # what a killed run left
                beside.mkdir()
                try:
                    yield beside
                    _move(beside, directory)
                finally:
                    shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"'{error.filename or directory}' cannot be written ({error.strerror or error}): "
            "give a folder that you may write to, on a disk with room."
        ) from error
    finally:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@signals.postponed()
def _move(beside: Path, directory: Path) -> None:
    files = sorted(beside.iterdir())
    for file in files:
        file.replace(directory / file.name)
    for name in {MASKS_FILE, LABELS_FILE} - {file.name for file in files}:  # those of an earlier import fit no more
        (directory / name).unlink(missing_ok=True)


def _info(cut: _Cut, train: int, test: int, scaling: str, resize: str | None) -> dict[str, Any]:
    """Return the content of the info file: Edge Impulse's keys, and some of our own that begin with `image`."""
    return {
        "mode": "visual-anomaly",
        "inputShapeString": str(cut.shape),
        "yType": "npy",
        "trainTestSplit": test / (train + test),
        "imageInputScaling": scaling,
        "imageResize": resize,
        "imageTiles": cut.tiling and asdict(cut.tiling),
        "convertInt8": True,
        "profileInt8": True,
        "maxTrainingTimeSeconds": None,
        "remainingGpuComputeTimeSeconds": None,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
