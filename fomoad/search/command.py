"""From the arguments of `fomoad search` to a search."""

import argparse
from pathlib import Path
from typing import Any, Final

from fomoad.cluster import open as cluster
from fomoad.data import dataset
from fomoad.errors import UserError
from fomoad.progress import log
from fomoad.search import space
from fomoad.search.judge import Budget
from fomoad.search.page import REPORT_FILE
from fomoad.search.run import JOURNAL, Search, run_search, settings_of, status
from fomoad.settings import TrainSettings, argument_name, validate

TRIALS: Final = 60


def run(arguments: argparse.Namespace) -> None:
    """Search, and say what is best.

    Raises UserError for arguments that cannot be used, before anything is read or written.
    """
    search = build(arguments)
    if arguments.status:
        log(status(search))
        return
    results = run_search(search, arguments.workers or 1)
    test = results.test[results.metric]
    log(f"The best: {' '.join(settings_of(results))}")
    log(f"  {results.metric} on the part that nothing was chosen on: {'none' if test is None else f'{test:.4f}'}")
    log(f"  its files: {search.out / 'best'}; all candidates: {search.out / REPORT_FILE}")


def build(arguments: argparse.Namespace) -> Search:
    """The search that the arguments ask for."""
    where = cluster.of(arguments)
    where.check()
    given: dict[str, tuple[str, ...]] = {}
    for name in TrainSettings.model_fields:
        value = getattr(arguments, name, None)
        if value is None or name in ("max_flash", "max_ram"):
            continue
        values = space.parse_list(value)
        if len(values) > 1 and not space.searchable(name):
            raise UserError(f"{argument_name(name)} cannot be a list: it does not say what a model is like. Give one.")
        given[name] = values
    photos: Path = arguments.photos
    if not photos.is_dir():
        raise UserError(f"{photos} does not exist: give a folder of photos, or a data directory.")
    fixed = {name: values[0] for name, values in given.items() if not space.searchable(name)}
    common = TrainSettings(**_validated(fixed))
    sides = _sides(photos, arguments.size, common.image_input_scaling)
    if arguments.workers is not None and arguments.workers < 1:
        raise UserError(f"--workers cannot be {arguments.workers}: give a whole number from 1.")
    if arguments.workers is not None and arguments.cluster is not None:
        raise UserError("--workers and --cluster cannot be given together: a cluster brings its own workers.")
    if arguments.cluster is not None and arguments.sampler == "tpe":
        raise UserError(
            "--sampler tpe and --cluster cannot be given together: what it suggests waits for what is found."
        )
    if arguments.trials is not None and (arguments.sampler != "tpe" or arguments.trials < 1):
        raise UserError("--trials says how many candidates --sampler tpe tries: give both, and a whole number from 1.")
    out: Path = arguments.out_directory
    for name in ("max_flash", "max_ram", "cache_limit"):
        if getattr(arguments, name) < 0:
            raise UserError(f"{argument_name(name)} cannot be {getattr(arguments, name)}: give 0 or more.")
    return Search(
        photos=photos.absolute(),
        out=out,
        work=(arguments.work_directory or out / "work").absolute(),
        storage=arguments.storage or str(out / JOURNAL),
        study=arguments.study,
        space=space.space(sides, given),
        budget=Budget(arguments.max_flash, arguments.max_ram, _latency(arguments.max_latency), common.runtime),
        metric=arguments.metric,
        image_scaling=common.image_input_scaling,
        group_by=arguments.group_by,
        seed=common.seed,
        cache_bytes=arguments.cache_limit * 2**20,
        cluster=where,
        sampled=(arguments.trials or TRIALS) if arguments.sampler == "tpe" else None,
    )


def _validated(values: dict[str, Any]) -> dict[str, Any]:
    settings = validate(values)
    return {name: getattr(settings, name) for name in values}


def _sides(photos: Path, text: str | None, image_scaling: str) -> tuple[int, ...]:
    """The sides to try: those asked for, or the one that a data directory has.

    Raises UserError where a data directory has another one, or images that are not square.
    """
    if not (photos / "X_split_train.npy").is_file():
        return space.SIZES if text is None else space.parse_sides(text)
    images = dataset.open_split(photos, "train", image_scaling).images
    if images is None or images.shape[0] != images.shape[1]:
        raise UserError(f"{photos} holds no square training images, which a search needs: import the photos again.")
    if text is not None and space.parse_sides(text) != (images.shape[0],):
        raise UserError(
            f"The images in {photos} have {images.shape[0]} pixels a side: leave --size out, or give the folder of "
            "photos to try other sides."
        )
    return (images.shape[0],)


def _latency(text: str | None) -> tuple[tuple[str, float], ...]:
    """The core and milliseconds in CORE=MS, none where there is no limit."""
    if text is None:
        return ()
    core, _, most = text.partition("=")
    try:
        limit = float(most)
    except ValueError:
        limit = -1.0
    if not core or not 0 < limit < float("inf"):
        raise UserError(f"--max-latency cannot be {text!r}: give a core and milliseconds, as in cortex-m7=100.")
    return ((core, limit),)
