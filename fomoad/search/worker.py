"""What one candidate takes: judging it, and training it in full. Both are tasks that any process can do.

A task uses one thread, so that its result is the same on machines with other numbers of processors.
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fomoad import machine
from fomoad.errors import UserError
from fomoad.export import tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.parameters import Parameters
from fomoad.search.cache import Cache
from fomoad.search.judge import Budget, Figures, Judge, Metric, figures_of, milliseconds
from fomoad.search.parts import Parts, Photos
from fomoad.search.space import Candidate
from fomoad.search.study import Outcome
from fomoad.training.train import train

THREADS: Final = 1


@dataclass(frozen=True)
class Conditions:
    """What all candidates are judged on and by. Features of `cache_bytes` at most are kept on the disk."""

    photos: Photos
    budget: Budget
    metric: Metric
    cache_bytes: int


@dataclass(frozen=True)
class Task:
    """A candidate and its number. Its files go to `folder`, where it is trained."""

    conditions: Conditions
    position: int
    candidate: Candidate
    folder: Path


def judged(task: Task) -> Outcome:
    """Judge a candidate. One that cannot be fitted, or is over the budget, is an outcome as well."""
    with _one_thread():
        try:
            values, details = _judge(task.conditions, task.candidate.side)(task.candidate)
        except UserError as error:
            return Outcome(task.position, None, {}, str(error))
        return Outcome(task.position, values, details)


def trained(task: Task) -> tuple[float, ...]:
    """Train a candidate in full, unless that is done; detection, flash, RAM and milliseconds of its int8 file."""
    conditions, settings = task.conditions, task.candidate.settings
    parts = opened(conditions.photos, task.candidate.side)
    if not (task.folder / METADATA_FILE).is_file():
        with _one_thread():
            train(Parameters.of(settings.model_dump(exclude_defaults=True)), parts.directory, task.folder)
    metadata = AnomalyMetadata.model_validate_json((task.folder / METADATA_FILE).read_bytes())
    profile = metadata.models[tflite.INT8_FILE].profile
    assert profile is not None
    budget = conditions.budget
    core = budget.latency[0][0] if budget.latency else profile.latency[0].core
    return (
        figures(task.folder, parts, "selection").of(conditions.metric),
        float(profile.flash_bytes),
        float(profile.ram(budget.runtime) or 0),
        milliseconds(profile, core),
    )


def figures(folder: Path, parts: Parts, name: str) -> Figures:
    """What the int8 file in a folder finds in a part."""
    part = getattr(parts, name)
    metadata = AnomalyMetadata.model_validate_json((folder / METADATA_FILE).read_bytes())
    cells = metadata.grid.geometry(metadata.input.height, metadata.input.width)
    return figures_of(load_model(folder / tflite.INT8_FILE).score(part.images), part, cells)


@functools.lru_cache(maxsize=1)  # of one side at a time: they hold images
def opened(photos: Photos, side: int) -> Parts:
    """What candidates of this side are fitted to and judged on."""
    return photos.parts(side)


@functools.lru_cache(maxsize=1)
def _judge(conditions: Conditions, side: int) -> Judge:
    photos = conditions.photos
    cache = Cache(photos.work / "features", conditions.cache_bytes)
    return Judge(opened(photos, side), cache, photos.key, conditions.metric, conditions.budget)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    with machine.limited(THREADS), threadpool_limits(THREADS):
        yield
