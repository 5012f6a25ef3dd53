"""A search from beginning to end: workers judge candidates, then the best are trained and tested."""

import contextlib
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import fomoad
from fomoad.cluster.engine import Engine
from fomoad.cluster.open import Cluster
from fomoad.cluster.processes import Processes
from fomoad.errors import UserError
from fomoad.export import output_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.progress import log
from fomoad.search import front
from fomoad.search.choice import LEAST_BY_MADE, choose
from fomoad.search.judge import Budget, Metric
from fomoad.search.page import REPORT_FILE, RESULTS_FILE, Entry, Results, agreement, findings, page
from fomoad.search.parts import Photos, digest
from fomoad.search.sampler import InOrder, Sampler, Tpe
from fomoad.search.space import Space, label
from fomoad.search.study import Outcome, Study
from fomoad.search.worker import Conditions, Task, figures, judged, opened, trained

SECONDS_BETWEEN_LINES: Final = 8.0
JOURNAL: Final = "study.journal"
PROGRESS_POLL: Final = 0.5
MOST_RESTARTS: Final = 10


@dataclass(frozen=True)
class Search:
    """What is searched, on what, and by what the candidates are judged.

    `photos` is a folder of photos or a data directory. Everything is written below `out`; what processes share lies in
    `work`. Candidates are judged on `cluster`, or by processes here that share the study with others elsewhere.
    `sampled` are tried, as an estimator suggests, first the most promising one of each side; None: all.
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
    group_by: str | None
    seed: int
    cache_bytes: int
    cluster: Cluster
    sampled: int | None = None

    @property
    def sampler(self) -> Sampler:
        """What says which candidates are tried."""
        if self.sampled is None:
            return InOrder(len(self.space.candidates))
        by_side = {self.space.candidates[position].side: position for position in reversed(self.space.by_promise())}
        read = [self.space.read(candidate) for candidate in self.space.candidates]
        return Tpe(read, sorted(by_side.values()), self.sampled, self.seed)

    def conditions(self) -> Conditions:
        """What all candidates are judged on and by. Reads all photos once."""
        content = digest(self.photos)
        photos = Photos(self.photos, content, self.image_scaling, self.group_by, self.seed, self.work)
        return Conditions(photos, self.budget, self.metric, self.cache_bytes)

    def open_study(self, conditions: Conditions) -> Study:
        """The study in the shared storage. Raises UserError where it is about something else."""
        text = json.dumps([conditions.photos.key, self.space.description(), asdict(self.budget), self.metric])
        about = hashlib.sha256(f"{fomoad.__version__} {text}".encode()).hexdigest()
        varying = [
            {name: candidate.parameters()[name] for name in self.space.axes} for candidate in self.space.candidates
        ]
        return Study(self.storage, self.study, about, varying, self.sampler)

    def task(self, conditions: Conditions, position: int) -> Task:
        """What one candidate takes."""
        folder = self.out.absolute() / "trials" / str(position)
        return Task(conditions, position, self.space.candidates[position], folder)


def run_search(search: Search, workers: int) -> Results:
    """Judge all candidates with `workers` processes here and those elsewhere, then train and test the best.

    With a cluster, its workers do both in place of those here.

    Raises UserError where the data, the space or the storage do not allow it, or where no candidate keeps the budget.
    """
    search.work.mkdir(parents=True, exist_ok=True)
    with output_directory.reserve(search.out), _engine(search, workers) as engine:
        conditions = search.conditions()
        study = search.open_study(conditions)
        for side in sorted({candidate.side for candidate in search.space.candidates}):
            opened(conditions.photos, side)
        if search.cluster.address is None:
            log(f"{search.sampler.total} of {len(search.space.candidates)} candidates, {workers} workers here")
            _work_until_finished(search, study, workers, conditions)
        else:
            _work_on_cluster(search, study, engine, conditions)
        results = _conclude(search, study, engine, conditions)
        output_directory.publish(
            search.out,
            {REPORT_FILE: page(results).encode(), RESULTS_FILE: results.model_dump_json(indent=1).encode() + b"\n"},
        )
    return results


def status(search: Search) -> str:
    """One line that says how far a search is."""
    return _progress(search, search.open_study(search.conditions()))


def work(search: Search, conditions: Conditions, log_file: Path) -> None:
    """Judge candidates until none waits: what a worker process does. What it prints goes to the log file."""
    with log_file.open("a", buffering=1) as file, contextlib.redirect_stdout(file):
        try:
            search.open_study(conditions).work(lambda position: judged(search.task(conditions, position)))
        except UserError as error:
            print(f"fomoad: {error}", file=sys.stderr, flush=True)
            sys.exit(1)


def _engine(search: Search, workers: int) -> contextlib.AbstractContextManager[Engine]:
    """What trainings run on."""
    if search.cluster.address is None and workers > 1:
        return contextlib.nullcontext(Processes(workers))
    return search.cluster.open()


def _work_on_cluster(search: Search, study: Study, engine: Engine, conditions: Conditions) -> None:
    """Let the cluster judge the candidates that have no outcome yet, and record what comes of them."""
    done = study.outcomes()
    tasks = [
        search.task(conditions, position) for position in range(len(search.space.candidates)) if position not in done
    ]
    for outcome in engine.map(judged, tasks, "Judging candidates", _lost):
        study.record(outcome)
    log("  " + _progress(search, study))


def _lost(task: Task, reason: str) -> Outcome:
    return Outcome(task.position, None, {}, reason)


def _work_until_finished(search: Search, study: Study, workers: int, conditions: Conditions) -> None:
    """Start workers, start others for those that die, and say how far all of them are."""
    context = multiprocessing.get_context("spawn")

    def start(number: int) -> BaseProcess:
        arguments = (search, conditions, search.work / f"worker-{number}.log")
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
        f"{len(outcomes)} of {search.sampler.total} done, {study.running()} running, "
        f"{len(outcomes) - len(kept)} over the budget or failed{best}"
    )


def _conclude(search: Search, study: Study, engine: Engine, conditions: Conditions) -> Results:
    """Choose the best, train it and the dearer ones that are worth it, measure their files, and test the best alone."""
    outcomes = study.outcomes()
    values = {position: outcome.values for position, outcome in outcomes.items() if outcome.values is not None}
    if not values:
        raise UserError(f"No candidate keeps the budget; the first {_nearest(outcomes)}. Allow more of it.")
    judged = [_entry(search, outcome, None) for outcome in outcomes.values()]
    labelled = opened(conditions.photos, search.space.candidates[next(iter(values))].side).labelled
    order = search.space.by_promise()
    kept = [entry for entry in judged if entry.values is not None]
    least = 0.0 if labelled else LEAST_BY_MADE
    found = findings(kept, "selection", search.metric)
    choice = choose(found, order, least)
    costs = {position: each[1:] for position, each in values.items()}
    chosen = sorted({*front.clear_front(found, costs), choice.best})
    tasks = [search.task(conditions, position) for position in chosen]
    measures = engine.map(trained, tasks, "Training the best, and those that no cheaper candidate comes close to")
    measured = dict(zip(chosen, measures, strict=True))
    log(f"The best is number {choice.best}: {search.metric} {measured[choice.best][0]:.4f} on the selection part")
    folder = search.task(conditions, choice.best).folder
    if not (folder / METADATA_FILE).is_file():
        raise UserError(f"{folder} is not here: workers elsewhere must reach --out-directory under the same path.")
    with output_directory.reserve(search.out / "best"):
        output_directory.publish(search.out / "best", _contents(folder))
    parts = opened(conditions.photos, search.space.candidates[choice.best].side)
    return Results(
        metric=search.metric,
        labelled=labelled,
        budget=asdict(search.budget),
        axes={name: list(values) for name, values in search.space.axes.items()},
        entries=[_entry(search, outcome, measured.get(position)) for position, outcome in outcomes.items()],
        front=front.front(measured),
        choice=choice,
        order=order,
        least=least,
        agreement=agreement(judged, search.metric, order) if labelled else None,
        test=asdict(figures(folder, parts, "test")),
    )


def _entry(search: Search, outcome: Outcome, measured: tuple[float, ...] | None) -> Entry:
    candidate = search.space.candidates[outcome.position]
    return Entry(
        number=outcome.position,
        parameters={name: candidate.parameters()[name] for name in search.space.axes},
        values=measured or outcome.values,
        trained=measured is not None,
        failure=outcome.failure,
        details=dict(outcome.details),
    )


def _contents(folder: Path) -> dict[str, bytes]:
    """The files of a training, the metadata last."""
    names = sorted((path.name for path in folder.iterdir() if path.is_file()), key=lambda name: name == METADATA_FILE)
    return {name: (folder / name).read_bytes() for name in names}


def _nearest(outcomes: Mapping[int, Outcome]) -> str:
    first = next(iter(outcomes.values()))
    return f"candidate, the cheapest, {first.failure}"


def settings_of(results: Results) -> Iterator[str]:
    """The parameters of the best, as arguments."""
    entry = next(entry for entry in results.entries if entry.number == results.choice.best)
    for name, value in entry.parameters.items():
        yield f"{label(name)}={value}"
