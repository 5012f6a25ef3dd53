"""What candidates are judged on: a selection part to choose by, and a test part that nothing is chosen on."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data import dataset, import_images, label_names, scaling
from fomoad.data.info_file import read_info
from fomoad.data.npy_file import Rows
from fomoad.data.pixel_images import StoredPixels
from fomoad.defects.make import made_set
from fomoad.errors import UserError
from fomoad.search.cache import locked
from fomoad.search.choice import GROUPS

Array = NDArray[np.float32]

HELD_OUT_SHARE: Final = 0.4
"""Without labelled defects, this share of the good training photos is held out: half to choose by, half to test on."""
MADE_PER_PHOTO: Final = 2
"""Made defects on each photo that is held out."""
MOST_MADE: Final = 200
TRAINING_IMAGES: Final = "X_split_train.npy"
READ: Final = (TRAINING_IMAGES, "X_split_test.npy", "Y_split_train.npy", "Y_split_test.npy", "masks_split_test.npy")
BLOCK: Final = 2**20


@dataclass(frozen=True)
class Part:
    """Photos (n, height, width, channels) to judge on, which of them are anomalous, and masks where there are any.

    `groups` are numbers below GROUPS: photos of one sample, and defects made on them, are in one group.
    """

    images: Array
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The images to fit to, in a data directory of their own, and the two parts to judge on.

    No sample is on two sides.

    `made` judges the selection part's good photos against made defects; it is the selection itself where no defect
    is labelled.
    """

    directory: Path
    images: dataset.Images
    sample_ids: list[str]
    selection: Part
    test: Part
    made: Part

    @property
    def labelled(self) -> bool:
        """Whether candidates are chosen by labelled defects."""
        return self.made is not self.selection


@dataclass(frozen=True)
class Photos:
    """A folder of photos or a data directory, and how it is read.

    `content` is the digest of its files. What is made of it lies in `work`, where several processes find it.
    """

    folder: Path
    content: str
    image_scaling: str
    group_by: str | None
    seed: int
    work: Path

    @property
    def key(self) -> str:
        """What is the same only where the parts are."""
        text = json.dumps([self.content, self.image_scaling, self.group_by, self.seed])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def parts(self, side: int) -> Parts:
        """What models with inputs of this side are fitted to and judged on. Images are made of photos once.

        Raises UserError where there are too few photos, or a data directory has images of another side.
        """
        work = self.work / self.key
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / f"data-{side}.lock"):
            directory = self.folder
            if not (directory / TRAINING_IMAGES).is_file():
                directory = work / f"data-{side}"
                if not (directory / TRAINING_IMAGES).is_file():
                    import_images.run(
                        self.folder, directory, (side, side), scaling=self.image_scaling, group_by=self.group_by
                    )
            return open_parts(directory, self.image_scaling, self.seed, work)


def open_parts(directory: Path, image_scaling: str, seed: int, work: Path) -> Parts:
    """Split a data directory into rows to fit to and parts to judge on.

    Labelled defects and the good test photos are halved. Without labelled defects, good training photos are held out,
    and defects are made on them; the others go to a data directory in the folder `work`.

    Raises UserError where there are too few photos.
    """
    info = read_info(None, directory)
    if info.tiling:
        raise UserError(f"{directory} holds tiles of photos, which a search does not take: import whole photos.")
    train = dataset.open_split(directory, "train", image_scaling, info)
    test = dataset.open_split(directory, "test", image_scaling, info)
    if train.images is None or len(train) < 10:
        raise UserError(f"{directory} holds {len(train)} training images: a search needs at least 10.")
    names = label_names.kept_label_names(directory)
    flags = (
        np.array(label_names.anomalous_flags(test.labels, names), dtype=object) if len(test) else np.empty(0, object)
    )
    if test.images is not None and (flags == True).sum() >= 2 and (flags == False).sum() >= 2:  # noqa: E712
        known = np.flatnonzero(flags != None)  # noqa: E711
        half_of = dealt([test.ids[row] for row in known], seed, flags[known].astype(bool), 2)
        halves = [known[half_of == half] for half in range(2)]
        selection, held = (_labelled(test, flags, half, seed) for half in halves)
        good = halves[0][~flags[halves[0]].astype(bool)]
        return Parts(directory, train.images, train.ids, selection, held, _made(test, good, seed))
    order = _sample_order(train.ids, seed)
    cut = int(len(order) * HELD_OUT_SHARE)
    chosen = (order[: cut // 2], order[cut // 2 : cut])
    selection, held = (_made(train, np.sort(half), seed) for half in chosen)
    rest = _write_rest(train, np.sort(order[cut:]), directory, work)
    split = dataset.open_split(rest, "train", image_scaling)
    assert split.images is not None
    return Parts(rest, split.images, split.ids, selection, held, selection)


def _write_rest(train: dataset.Split, rows: NDArray[np.int64], directory: Path, work: Path) -> Path:
    """A data directory that holds these rows of the training images alone, made once."""
    assert train.images is not None
    height, width, channels = train.images.shape
    rest = work / f"rest-{height}x{width}x{channels}"
    if not (rest / TRAINING_IMAGES).is_file():
        with tempfile.TemporaryDirectory(dir=work) as unfinished:
            made = Path(unfinished) / "rest"
            made.mkdir()
            np.save(made / TRAINING_IMAGES, train.images.array.rows(rows).reshape(-1, *train.images.shape))
            ids = {"train": [train.ids[row] for row in rows], "validation": []}
            (made / "sample_id_details.json").write_text(json.dumps(ids))
            info = directory / "train_input.json"
            if info.is_file():
                shutil.copyfile(info, made / info.name)
            with contextlib.suppress(OSError):  # another process was faster
                made.rename(rest)
    return rest


def digest(photos: Path) -> str:
    """SHA-256 of all files that a search reads: of a data directory, or of a folder of photos with their names."""
    found = [photos / name for name in READ if (photos / name).is_file()]
    files = found or sorted(path for path in photos.rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(photos).as_posix().encode() + b"\0")
        with path.open("rb") as content:
            while block := content.read(BLOCK):
                total.update(block)
    return total.hexdigest()


def _labelled(split: dataset.Split, flags: NDArray[np.object_], rows: NDArray[np.int64], seed: int) -> Part:
    assert split.images is not None
    masks = None if split.masks is None else _masks(split.masks, rows)
    anomalous = flags[rows].astype(bool)
    groups = dealt([split.ids[row] for row in rows], seed, anomalous, GROUPS)
    return Part(split.images.rows(rows), anomalous, masks, groups)


def _masks(masks: Rows, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = masks.rows(rows) > 127
    return inside


def _made(split: dataset.Split, rows: NDArray[np.int64], seed: int) -> Part:
    """Good photos, and defects made on them."""
    assert split.images is not None
    good = StoredPixels(split.images, rows)
    defects = list(made_set(good, min(MOST_MADE, MADE_PER_PHOTO * len(good)), seed))
    if not defects:
        raise UserError("No defect could be made on the good photos, so candidates cannot be judged: add test images.")
    pixels = np.stack([good[index] for index in range(len(good))] + [defect.pixels for defect in defects])
    masks = np.concatenate([np.zeros((len(good), *pixels.shape[1:3]), bool), [defect.mask for defect in defects]])
    groups = dealt([split.ids[row] for row in rows], seed, np.zeros(len(rows), bool), GROUPS)
    groups = np.concatenate([groups, groups[[defect.image for defect in defects]]])
    images = scaling.from_pixels(pixels, split.images.scaling)
    return Part(images, np.arange(len(pixels)) >= len(good), masks, groups)


def dealt(ids: Sequence[str], seed: int, anomalous: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Which of `count` parts each row is in: as many good and defective ones in each, and a sample in one only."""
    parts: dict[str, int] = {}
    counts = np.zeros((2, count), np.int64)
    for row in _sample_order(ids, seed):
        kind = int(anomalous[row])
        part = parts.setdefault(ids[row], int(counts[kind].argmin()))
        counts[kind, part] += 1
    return np.array([parts[name] for name in ids], np.int64)


def _sample_order(ids: Sequence[str], seed: int) -> NDArray[np.int64]:
    """All rows in an order drawn at random, those of one sample next to each other."""
    unique, inverse = np.unique(np.asarray(ids), return_inverse=True)
    rank = np.random.default_rng(seed).permutation(len(unique))[inverse]
    order: NDArray[np.int64] = np.argsort(rank, kind="stable").astype(np.int64)
    return order
