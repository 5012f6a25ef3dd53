"""Passes over images on a cluster: a task computes the features of a shard and what a step makes of them.

Workers read the images from the same files as the driver. Steps, backbones and what steps give are values on a shelf
that all share, named by digests of what they come of; the scheduler sees names only. Workers need no TensorFlow.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fomoad.cluster.engine import Engine
from fomoad.cluster.shelf import Shelf
from fomoad.data.dataset import Images
from fomoad.data.shared_images import SharedImages
from fomoad.features.backbone_file import BackboneFile
from fomoad.features.store import SHARD_BATCHES, Batch, Extract, Step, check_features, worked_on
from fomoad.progress import log

S = TypeVar("S")

MOST_OPEN: Final = 2
"""Backbones and steps that a worker keeps loaded: those of a pass, and of the one before."""


@dataclass(frozen=True)
class FeatureFile:
    """What features of images are computed from: the images in shards of so many, read `batch` at a time."""

    images: SharedImages
    backbone: BackboneFile
    shard: int
    batch: int


@dataclass(frozen=True)
class Task:
    """A step with a shard of images, by their names on a shelf, and the name that the result gets there."""

    shelf: Shelf
    features: str
    step: str
    number: int

    @property
    def result(self) -> str:
        """The name of the result."""
        return f"{self.step}-{self.features}-{self.number}"


class SharedFeatures:
    """The features of all training images, computed on a cluster in each pass. See Source."""

    def __init__(self, images: Images, backbone: BackboneFile, engine: Engine, shelf: Shelf) -> None:
        self.images = images
        self.extract = backbone.load()
        self._engine = engine
        self._shelf = shelf
        batch = images.batch_size()
        self._shards = range(-(-len(images) // (SHARD_BATCHES * batch)))
        file = FeatureFile(SharedImages.of(images), backbone, SHARD_BATCHES * batch, batch)
        self._name = shelf.put_by_digest("features", file)

    def __len__(self) -> int:
        return len(self.images)

    def grid(self) -> tuple[int, int]:
        """See Source."""
        rows, columns = self.extract(self.images.first()).shape[1:3]
        return rows, columns

    def map(self, step: Step[S], what: str) -> Iterator[S]:
        """See Source. What an earlier run has left is taken."""
        name = self._shelf.put_by_digest("step", step)
        tasks = [Task(self._shelf, self._name, name, number) for number in self._shards]
        there = self._shelf.names()
        missing = [task for task in tasks if task.result not in there]
        if len(missing) < len(tasks):
            log(f"{what}: {len(tasks) - len(missing)} of {len(tasks)} shards are there from an earlier run")
        done = self._engine.map(work, missing, what) if missing else iter(())
        for task in tasks:
            if task.result not in there:
                next(done)
            yield self._shelf.get(task.result)
        for _ in done:  # to its last line
            pass


def work(task: Task) -> None:
    """Do a task on a worker, and put the result on the shelf."""
    file, images, extract = _features(task.shelf, task.features)
    rows = range(task.number * file.shard, min((task.number + 1) * file.shard, len(images)))
    batches = _batches(images, extract, rows, file.batch)
    task.shelf.put(task.result, worked_on(_step(task.shelf, task.step), batches))


@functools.lru_cache(MOST_OPEN)
def _features(shelf: Shelf, name: str) -> tuple[FeatureFile, Images, Extract]:
    file: FeatureFile = shelf.get(name)
    return file, file.images.open(), file.backbone.load()


@functools.lru_cache(MOST_OPEN)
def _step(shelf: Shelf, name: str) -> Step[Any]:
    step: Step[Any] = shelf.get(name)
    return step


def _batches(images: Images, extract: Extract, rows: range, size: int) -> Iterator[Batch]:
    for start in range(rows.start, rows.stop, size):
        some = slice(start, min(start + size, rows.stop))
        pixels = images.rows(some)
        features = extract(pixels)
        check_features(some, pixels, features)
        yield some, features
