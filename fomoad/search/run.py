"""A search from beginning to end: workers judge candidates, then the best are trained and tested."""

import contextlib
import functools
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import fomoad
from fomoad.errors import UserError
from fomoad.export import output_directory, tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.parameters import Parameters
from fomoad.progress import log
from fomoad.search import front
from fomoad.search.cache import Cache
from fomoad.search.judge import Budget, Figures, Judge, Metric, figures_of, milliseconds
from fomoad.search.page import RESULTS_FILE, Entry, Results, page
from fomoad.search.parts import Parts, digest, open_parts, prepare
from fomoad.search.space import Space, label
from fomoad.search.study import Outcome, Study
from fomoad.training.train import train

SECONDS_BETWEEN_LINES: Final = 8.0
JOURNAL: Final = "study.journal"
REPORT_FILE: Final = "report.html"
PROGRESS_POLL: Final = 0.5
MOST_RESTARTS: Final = 10


@dataclass(frozen=True)
class Search:
    """What is searched, on what, and by what the candidates are judged.

    `photos` is a folder of photos or a data directory. Everything is written below `out`; what workers share on this
    machine lies in `work`.
    """

    photos: Path
    out: Path
    work: Path
    storage: str
    study: str
    space: Space
    budget: Budget
    metric: Metric
    image_scaling: str
    seed: int
    cache_bytes: int

    def data_digest(self) -> str:
        """SHA-256 of the data."""
        return digest(self.photos)

    def open_study(self, data_digest: str) -> Study:
        """The study in the shared storage. Raises UserError where it is about something else."""
        text = json.dumps([data_digest, self.space.description(), asdict(self.budget), self.metric, self.seed])
        about = hashlib.sha256(f"{fomoad.__version__} {text}".encode()).hexdigest()
        varying = [
            {name: candidate.parameters()[name] for name in self.space.axes} for candidate in self.space.candidates
        ]
        return Study(self.storage, self.study, about, varying)

    def parts(self, side: int) -> Parts:
        """What candidates of this side are fitted to and judged on."""
        directory = prepare(self.photos, side, self.image_scaling, self.work)
        return open_parts(directory, self.image_scaling, self.seed, self.work)


def run_search(search: Search, workers: int) -> Results:
    """Judge all candidates with `workers` processes here and those elsewhere, then train and test the best.

    Raises UserError where the data, the space or the storage do not allow it, or where no candidate keeps the budget.
    """
    search.work.mkdir(parents=True, exist_ok=True)
    with output_directory.reserve(search.out):
        data_digest = search.data_digest()
        study = search.open_study(data_digest)
        for side in sorted({candidate.side for candidate in search.space.candidates}):
            search.parts(side)
        log(f"{len(search.space.candidates)} candidates, {workers} workers here")
        _work_until_finished(search, study, workers, data_digest)
        results = _conclude(search, study)
        output_directory.publish(
            search.out,
            {REPORT_FILE: page(results).encode(), RESULTS_FILE: results.model_dump_json(indent=1).encode() + b"\n"},
        )
    return results


def status(search: Search) -> str:
    """One line that says how far a search is."""
    return _progress(search, search.open_study(search.data_digest()))


def work(search: Search, data_digest: str, log_file: Path) -> None:
    """Judge candidates until none waits: what a worker process does. What it prints goes to the log file."""
    with log_file.open("a", buffering=1) as file, contextlib.redirect_stdout(file):
        judges: dict[int, Judge] = {}

        def objective(position: int) -> tuple[tuple[float, ...], dict[str, Any]]:
            candidate = search.space.candidates[position]
            if candidate.side not in judges:
                cache = Cache(search.work / "features", search.cache_bytes)
                parts = search.parts(candidate.side)
                judges[candidate.side] = Judge(parts, cache, data_digest, search.metric, search.budget)
            return judges[candidate.side](candidate)

        try:
            search.open_study(data_digest).work(objective)
        except UserError as error:
            print(f"fomoad: {error}", file=sys.stderr, flush=True)
            sys.exit(1)


def _work_until_finished(search: Search, study: Study, workers: int, data_digest: str) -> None:
    """Start workers, start others for those that die, and say how far all of them are."""
    context = multiprocessing.get_context("spawn")

    def start(number: int) -> BaseProcess:
        arguments = (search, data_digest, search.work / f"worker-{number}.log")
        process = context.Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    running = [start(number) for number in range(workers)]
    restarts, said = 0, time.monotonic() - SECONDS_BETWEEN_LINES
    while not study.finished():
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            log("  " + _progress(search, study))
            said = time.monotonic()
        for number, process in enumerate(running):
            if process.exitcode is not None and not study.finished():
                study.recover()
                if process.exitcode != 0:
                    restarts += 1
                if restarts > MOST_RESTARTS:
                    raise UserError(f"Workers keep failing: see {search.work}/worker-{number}.log.")
                running[number] = start(number)
        time.sleep(PROGRESS_POLL)
    log("  " + _progress(search, study))
    for process in running:
        process.terminate()
        process.join()


def _progress(search: Search, study: Study) -> str:
    outcomes = study.outcomes()
    kept = [outcome for outcome in outcomes.values() if outcome.values is not None]
    best = f", best {search.metric} {max(o.values[0] for o in kept if o.values):.4f}" if kept else ""
    return (
        f"{len(outcomes)} of {len(search.space.candidates)} done, {study.running()} running, "
        f"{len(outcomes) - len(kept)} over the budget or failed{best}"
    )


def _conclude(search: Search, study: Study) -> Results:
    """Train the candidates that no other one beats, measure their files, choose the best and test it, and only it."""
    outcomes = study.outcomes()
    values = {position: outcome.values for position, outcome in outcomes.items() if outcome.values is not None}
    if not values:
        raise UserError(f"No candidate keeps the budget; the first {_nearest(search, outcomes)}. Allow more of it.")
    parts_of = functools.lru_cache(maxsize=1)(search.parts)  # of one side at a time: they hold images
    trained: dict[int, tuple[float, ...]] = {}
    chosen = front.front(values)
    for count, position in enumerate(chosen, 1):
        log(f"Training {count} of {len(chosen)} that no other candidate beats (number {position})")
        trained[position] = _train(search, position, parts_of(search.space.candidates[position].side))
    best = front.best(trained)
    log(f"The best is number {best}: {search.metric} {trained[best][0]:.4f} on the selection part")
    with output_directory.reserve(search.out / "best"):
        output_directory.publish(search.out / "best", _contents(_folder(search, best)))
    parts = parts_of(search.space.candidates[best].side)
    tested = _figures(_folder(search, best), parts, "test")
    entries = [_entry(search, outcome, trained.get(position)) for position, outcome in outcomes.items()]
    return Results(
        metric=search.metric,
        labelled=parts.labelled,
        budget=asdict(search.budget),
        axes={name: list(values) for name, values in search.space.axes.items()},
        entries=entries,
        front=front.front(trained),
        best=best,
        test=asdict(tested),
    )


def _train(search: Search, position: int, parts: Parts) -> tuple[float, ...]:
    """Train a candidate in full, unless that is done; detection, flash, RAM and milliseconds of its int8 file."""
    candidate, folder = search.space.candidates[position], _folder(search, position)
    if not (folder / METADATA_FILE).is_file():
        train(Parameters.of(candidate.settings.model_dump(exclude_defaults=True)), parts.directory, folder)
    metadata = AnomalyMetadata.model_validate_json((folder / METADATA_FILE).read_bytes())
    profile = metadata.models[tflite.INT8_FILE].profile
    assert profile is not None
    core = search.budget.latency[0][0] if search.budget.latency else profile.latency[0].core
    detection = _figures(folder, parts, "selection").of(search.metric)
    return (
        detection,
        float(profile.flash_bytes),
        float(profile.ram(search.budget.runtime) or 0),
        milliseconds(profile, core),
    )


def _figures(folder: Path, parts: Parts, name: str) -> Figures:
    """What the int8 file in a folder finds in a part."""
    part = getattr(parts, name)
    metadata = AnomalyMetadata.model_validate_json((folder / METADATA_FILE).read_bytes())
    cells = metadata.grid.geometry(metadata.input.height, metadata.input.width)
    return figures_of(load_model(folder / tflite.INT8_FILE).score(part.images), part, cells)


def _entry(search: Search, outcome: Outcome, trained: tuple[float, ...] | None) -> Entry:
    candidate = search.space.candidates[outcome.position]
    return Entry(
        number=outcome.position,
        parameters={name: candidate.parameters()[name] for name in search.space.axes},
        values=trained or outcome.values,
        trained=trained is not None,
        failure=outcome.failure,
        details=dict(outcome.details),
    )


def _folder(search: Search, position: int) -> Path:
    return search.out / "trials" / str(position)


def _contents(folder: Path) -> dict[str, bytes]:
    """The files of a training, the metadata last."""
    names = sorted((path.name for path in folder.iterdir() if path.is_file()), key=lambda name: name == METADATA_FILE)
    return {name: (folder / name).read_bytes() for name in names}


def _nearest(search: Search, outcomes: Mapping[int, Outcome]) -> str:
    first = next(iter(outcomes.values()))
    return f"candidate, the cheapest, {first.failure}"


def settings_of(results: Results) -> Iterator[str]:
    """The parameters of the best, as arguments."""
    entry = next(entry for entry in results.entries if entry.number == results.best)
    for name, value in entry.parameters.items():
        yield f"{label(name)}={value}"
