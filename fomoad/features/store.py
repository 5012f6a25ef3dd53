"""The features of all training images, computed once where there is room for them.

A pass over images costs what the backbone costs, some tenths of a millisecond an image; reading features back from a
disk costs a tenth of that (docs/performance.md). So features are kept: in memory where they are few, else in a
temporary file, and where there is no room for that either, each pass computes them again.
"""

import contextlib
import contextvars
import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.progress import log, track

Array = NDArray[np.float32]
Extract = Callable[[Array], Array]
"""Images (N, height, width, channels) to features (N, rows, columns, D)."""
Batch = tuple[slice, Array]
"""Rows, and the features (n, rows, columns, D) of the images there."""

R = TypeVar("R", covariant=True)
S = TypeVar("S")

SHARD_BATCHES: Final = 8
"""Batches of images in a shard."""
LARGEST_FEATURE: Final = 1e6
"""Activations of trained networks are tens; beyond this, sums of their squares overflow."""
BATCH_BYTES: Final = 16 * 2**20
"""Stored features are given out in batches of about this size."""
KEPT_SHARE: Final = 1 / 2
"""Share of the memory limit in which features are kept, where all of them fit."""
DISK_SHARE: Final = 1 / 2
"""Share of what is free in the work directory that features take at most."""
MOUNTS: Final = Path("/proc/self/mounts")
MEMORY_FILE_SYSTEMS: Final = ("tmpfs", "ramfs")
"""File systems whose files take memory, so that storing features there would save none."""


class Batched(Protocol):
    """Images in batches: those of a data directory, or what stands for them."""

    def __len__(self) -> int: ...

    def first(self) -> Array:
        """The first of them, as a batch of one."""

    def batches(self) -> Iterator[Batch]:
        """All of them, from first to last."""


class Step(Protocol[R]):
    """What a pass does with a shard: some consecutive batches, from first to last.

    A shard's result depends on that shard alone, so that shards may be worked on anywhere. What a step holds, and what
    it gives, is made of dataclasses, numbers and arrays.
    """

    def __call__(self, batches: Iterator[Batch]) -> R: ...


class Source(Protocol):
    """The features of all training images, shard by shard. Bounds of shards depend on the images' size alone."""

    extract: Extract

    def __len__(self) -> int: ...

    def grid(self) -> tuple[int, int]:
        """Rows and columns of an image's grid."""

    def map(self, step: Step[S], what: str) -> Iterator[S]:
        """Yield `step` of each shard, from first to last, showing progress under the name `what`."""


@dataclass(frozen=True)
class StoredFeatures:
    """Features (n, rows, columns, D) that were computed before, in the place of images."""

    features: Array

    def __len__(self) -> int:
        return len(self.features)

    def first(self) -> Array:
        """The first of them, as a batch of one."""
        return np.asarray(self.features[:1])

    def batches(self) -> Iterator[Batch]:
        """All of them, from first to last, some BATCH_BYTES at a time."""
        size = max(1, BATCH_BYTES // self.features[0].nbytes)
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, np.asarray(self.features[rows])


class FeatureSource:
    """The features of all training images, computed in this process.

    They are kept in memory where they fit into a share of the memory limit (in bytes), else in a file without a name
    in the work directory, which vanishes with this object or the process, however that ends. Without a work
    directory, the folder for temporary files is taken, unless that is memory.
    """

    def __init__(
        self, images: Batched, extract: Extract, memory_limit: int, work_directory: Path | None = None
    ) -> None:
        self.images = images
        self.extract = extract
        self._most_kept = memory_limit * KEPT_SHARE
        self._folder = work_directory or _disk_folder()
        self._store: _Store | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, what: str) -> Iterator[Batch]:
        """Yield all batches from first to last, showing progress under the name `what`."""
        yield from track(self._computed() if self._store is None else self._store, what, len(self), _batch_size)

    def first(self) -> Array:
        """The features of the first image, as a batch of one."""
        return self.extract(self.images.first())

    def grid(self) -> tuple[int, int]:
        """See Source."""
        rows, columns = self.first().shape[1:3]
        return rows, columns

    def map(self, step: Step[S], what: str) -> Iterator[S]:
        """See Source."""
        for shard in _in_shards(self.batches(what)):
            yield worked_on(step, shard)

    def _computed(self) -> Iterator[Batch]:
        store: _Store | None = None
        for rows, images in _read_ahead(self.images.batches()):
            features = self.extract(images)
            check_features(rows, images, features)
            if rows.start == 0:
                store = self._new_store(features.nbytes // len(features) * len(self))
            if store is not None and not store.add(rows, features):
                store = None
                self._give_up("The work directory takes no more features")
            yield rows, features
        self._store = store

    def _new_store(self, size: int) -> "_Store | None":
        """Where `size` bytes of features can be kept, None where there is no room for them."""
        if size <= self._most_kept:
            return _MemoryStore()
        if self._folder is None:
            return None
        file = _reserve(self._folder, size)
        if file is None:
            self._give_up(f"There is no room for {_mebibytes(size)} of features in {self._folder}")
            return None
        log(f"Features are stored in {self._folder}: {_mebibytes(size)} for the time of the training.")
        return _FileStore(file)

    def _give_up(self, reason: str) -> None:
        log(f"{reason}: they are computed again in each pass.")
        self._folder = None


def worked_on(step: Step[S], batches: Iterator[Batch]) -> S:
    """The result of a step, with the same bytes on machines with other numbers of processors."""
    from threadpoolctl import threadpool_limits  # of the train extra; loading a model needs none

    with threadpool_limits(1):
        return step(batches)


def unchanged(features: Array) -> Array:
    """An Extract for what is computed already."""
    return features


def check_features(rows: slice, images: Array, features: Array) -> None:
    """Check a batch of features (n, rows, columns, channels) of images (n, height, width, channels).

    Raises UserError where no scorer can be fitted to them, as with weights that are damaged, or random in part.
    """
    highest = float(np.maximum(features.max(), -features.min()))
    if not highest <= LARGEST_FEATURE:  # NaN is not either
        what = f"as large as {highest:g}" if np.isfinite(highest) else "no finite numbers"
        raise UserError(
            f"The backbone's features of training image {rows.start} and those after it are {what}: its weights are "
            "damaged or random in part. Give the whole weights of the same backbone, or --weights auto."
        )
    several = features[..., 0].size > 1
    if several and np.ptp(images) > 0 and not np.ptp(features, axis=(0, 1, 2)).any():
        raise UserError(
            "The backbone's features are the same for all images and positions: its weights are damaged or random in "
            "part. Give the whole weights of the same backbone, or --weights auto."
        )


class _Store(Protocol):
    def add(self, rows: slice, features: Array) -> bool:
        """Keep the next batch; False where that failed."""

    def __iter__(self) -> Iterator[Batch]:
        """All batches, as they came."""


class _MemoryStore:
    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def add(self, rows: slice, features: Array) -> bool:
        self._batches.append((rows, features))
        return True

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


class _FileStore:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._shapes: list[tuple[slice, tuple[int, ...]]] = []

    def add(self, rows: slice, features: Array) -> bool:
        try:
            features.tofile(self._file)
        except OSError:
            self._file.close()
            return False
        self._shapes.append((rows, features.shape))
        return True

    def __iter__(self) -> Iterator[Batch]:
        self._file.seek(0)
        for rows, shape in self._shapes:
            yield rows, np.fromfile(self._file, np.float32, math.prod(shape)).reshape(shape)


def check_work_directory(folder: Path) -> None:
    """Raise UserError where a work directory that was asked for does not exist or cannot be written."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"The work directory {folder} cannot be used ({error.strerror}): give a folder that exists and can be "
            "written, or leave --work-directory out."
        ) from error


def _reserve(folder: Path, size: int) -> BinaryIO | None:
    """An empty file without a name, with room for `size` bytes; None where the folder has too little."""
    with contextlib.suppress(OSError):
        if size > shutil.disk_usage(folder).free * DISK_SHARE:
            return None
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, it is closed with its owner
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            file.close()
            raise
        return file
    return None


def _disk_folder() -> Path | None:
    """The folder for temporary files, None where it takes memory."""
    folder = Path(tempfile.gettempdir()).resolve()
    kinds = {}
    with contextlib.suppress(OSError):
        for line in MOUNTS.read_text(errors="replace").splitlines():
            _, place, kind, *_ = line.split(" ")
            kinds[Path(place)] = kind
    mounted = next((kinds[place] for place in (folder, *folder.parents) if place in kinds), "")
    return None if mounted in MEMORY_FILE_SYSTEMS else folder


def _in_shards(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """The same batches, SHARD_BATCHES at a time."""
    for first in batches:
        shard = itertools.chain([first], itertools.islice(batches, SHARD_BATCHES - 1))
        yield shard
        for _ in shard:  # what the step has left
            pass


def _read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch of images while the one before is worked on."""
    context = contextvars.copy_context()  # in which fomoad.progress keeps what is not said

    def following() -> Batch | None:
        return next(batches, None)

    def read() -> Batch | None:
        return context.run(following)

    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(read)
        while (batch := pending.result()) is not None:
            pending = reader.submit(read)
            yield batch


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _batch_size(batch: Batch) -> int:
    return len(batch[1])
