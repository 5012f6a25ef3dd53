"""The first look at all training images: their values, here or on a cluster."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomoad.cluster.engine import Engine
from fomoad.data import dataset, groups
from fomoad.data.dataset import Images
from fomoad.data.groups import Thumbnail
from fomoad.data.shared_images import SharedImages
from fomoad.features.store import SHARD_BATCHES
from fomoad.progress import track

WHAT = "Checking training images"


@dataclass(frozen=True)
class Looked:
    """The lowest and the highest value, thumbnails of the first images, and a SHA-256 of all of them."""

    lowest: float
    highest: float
    thumbnails: tuple[Thumbnail, ...]
    digest: str


def look_at(images: Images) -> Looked:
    """Read all images in this process; nothing is digested. Raises UserError for values that are no images'."""
    batches = track(images.batches(), WHAT, len(images), lambda item: len(item[1]))
    return _joined(_looked(images, rows, batch) for rows, batch in batches)


def look_together(images: Images, engine: Engine) -> Looked:
    """The same with workers. Raises UserError for values that are no images'."""
    size = SHARD_BATCHES * images.batch_size()
    shared = SharedImages.of(images)
    parts = [(shared, start, min(start + size, len(images))) for start in range(0, len(images), size)]
    return _joined(engine.map(_look, parts, WHAT))


def _look(part: tuple[SharedImages, int, int]) -> Looked:
    """Read some images on a worker, and digest them."""
    shared, start, stop = part
    images = shared.open()
    total = hashlib.sha256()

    def batches() -> Iterator[Looked]:
        size = images.batch_size()
        for first in range(start, stop, size):
            rows = slice(first, min(first + size, stop))
            batch = images.rows(rows)
            total.update(batch.tobytes())
            yield _looked(images, rows, batch)

    looked = _joined(batches())
    return Looked(looked.lowest, looked.highest, looked.thumbnails, total.hexdigest())


def _looked(images: Images, rows: slice, batch: NDArray[np.float32]) -> Looked:
    low, high = dataset.check_values(images, rows, batch)
    thumbnails = tuple(map(groups.thumbnail, batch[: max(0, groups.MOST_COMPARED - rows.start)]))
    return Looked(low, high, thumbnails, "")


def _joined(parts: Iterable[Looked]) -> Looked:
    every = list(parts)
    return Looked(
        min(part.lowest for part in every),
        max(part.highest for part in every),
        tuple(thumbnail for part in every for thumbnail in part.thumbnails),
        hashlib.sha256("".join(part.digest for part in every).encode()).hexdigest(),
    )
