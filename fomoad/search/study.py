"""The study: which candidates are tried, by whom, and what came of them, in storage that workers share.

Optuna holds it: in a journal file, in SQLite or in PostgreSQL. A sampler says which candidates to try; they wait in the
study, and workers take them one by one. Where all wait in a fixed order, the result is the same for any number of
workers.
"""

import contextlib
import functools
import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import OperationalError

from fomoad.errors import UserError
from fomoad.progress import log
from fomoad.search.journal import Journal
from fomoad.search.sampler import InOrder, Sampler, choices_of

POSITION: Final = "position"
WORKER: Final = "worker"
DIGEST: Final = "digest"
DETAILS: Final = "details"
FAILURE: Final = "failure"
HEARTBEAT_SECONDS: Final = 5
GRACE_SECONDS: Final = 30
"""A worker that gives no sign of life for so long is taken to be gone, and its trial is done again."""
MOST_TRIES: Final = 3
"""A trial whose workers die again and again is given up."""
OUTAGE_SECONDS: Final = 600
"""How long a worker waits for storage that does not answer."""
PAUSE_SECONDS: Final = 5
DIRECTIONS: Final = ("maximize", "minimize", "minimize", "minimize")
"""Of the values of a trial: detection, flash, RAM, milliseconds."""
FAILED: Final = (0.0,) * len(DIRECTIONS)
"""What stands for the values of a candidate that failed, as Optuna wants some."""


T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What came of a candidate: its values, more figures, or why it failed."""

    position: int
    values: tuple[float, ...] | None
    details: Mapping[str, Any]
    failure: str | None = None

    @property
    def detection(self) -> float:
        """What it finds; 0 where it failed."""
        return self.values[0] if self.values else 0.0


Objective = Callable[[int], Outcome]
"""Judges the candidate of a position. Values are in the order of DIRECTIONS, details are plain JSON."""


class Study:
    """A study in shared storage. It can be used by many processes at once."""

    def __init__(
        self,
        storage: str,
        name: str,
        digest: str,
        candidates: Sequence[Mapping[str, Any]],
        sampler: Sampler | None = None,
    ) -> None:
        """Open the study, or make it. Some candidates wait in it afterwards, if there are any left to try.

        `storage` is the path of a journal file, or an address `sqlite:///...` or `postgresql://...`. `digest` says what
        the study is about: data, space and version. `candidates` are the parameters of each; the sampler says which of
        them to try, None: all, in their order.

        Raises UserError where the storage cannot be opened, or the study is about something else.
        """
        self._candidates = candidates
        self._choices = choices_of(candidates)
        self._sampler = InOrder(len(candidates)) if sampler is None else sampler
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage = _open(storage)
        self._study = optuna.create_study(
            storage=self._storage, study_name=name, directions=DIRECTIONS, load_if_exists=True
        )
        known = self._study.user_attrs.get(DIGEST)
        if known is None:
            self._study.set_user_attr(DIGEST, digest)
        elif known != digest:
            raise UserError(
                f"The study {name} in {_without_password(storage)} is about other data, settings or another version "
                "of fomoad: give another name with --study, or another --storage."
            )
        self._enqueue_missing()

    def work(self, objective: Objective) -> None:
        """Take candidates until none waits. One that fails is recorded, and the rest goes on.

        Raises UserError where the storage does not answer for OUTAGE_SECONDS.
        """
        while self._try_one(objective):
            pass

    def record(self, outcome: Outcome) -> None:
        """Add the outcome of a candidate that was judged elsewhere than in `work`."""
        parameters = dict(self._candidates[outcome.position])
        spaces: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(self._choices[name]) for name in parameters
        }
        trial = optuna.create_trial(
            state=TrialState.COMPLETE,
            values=outcome.values or FAILED,
            params=parameters,
            distributions=spaces,
            user_attrs=_attributes(outcome),
        )
        _patiently(lambda: self._study.add_trial(trial))

    def outcomes(self) -> dict[int, Outcome]:
        """What came of each candidate that was tried, by its position. The first result of each counts."""
        found: dict[int, Outcome] = {}
        for trial in self._trials():
            position = trial.user_attrs.get(POSITION)
            if trial.state == TrialState.COMPLETE and position is not None and position not in found:
                failure = trial.user_attrs.get(FAILURE)
                values = None if failure else tuple(trial.values)
                found[position] = Outcome(position, values, trial.user_attrs.get(DETAILS, {}), failure)
        return dict(sorted(found.items()))

    def running(self) -> int:
        """How many candidates a worker is busy with."""
        return sum(trial.state == TrialState.RUNNING for trial in self._trials())

    def finished(self) -> bool:
        """Whether every candidate that is to be tried has an outcome."""
        return len(self.outcomes()) >= self._sampler.total

    def recover(self) -> None:
        """Let the candidates of workers that died be tried again."""
        if isinstance(self._storage, RDBStorage):
            with _experimental():
                _patiently(lambda: optuna.storages.fail_stale_trials(self._study))
        else:  # a journal file knows no heartbeat, but all of its workers are on this machine
            for trial in self._trials():
                worker = trial.user_attrs.get(WORKER)
                if trial.state == TrialState.RUNNING and worker is not None and not _alive(worker):
                    with contextlib.suppress(RuntimeError, ValueError):  # somebody else was faster
                        self._study.tell(trial.number, state=TrialState.FAIL)
        self._enqueue_missing()

    def _try_one(self, objective: Objective) -> bool:
        """Try one candidate; False where none waits."""
        self.recover()
        if not any(trial.state == TrialState.WAITING for trial in self._trials()):
            return False

        def run(trial: optuna.Trial) -> tuple[float, ...]:
            position = trial.user_attrs.get(POSITION)
            trial.set_user_attr(WORKER, _me())
            if position is None or self._is_taken(position, trial.number):
                raise optuna.TrialPruned  # there was none left, or two processes queued it at the same time
            for name, values in self._choices.items():
                trial.suggest_categorical(name, values)
            outcome = objective(position)
            for name, value in _attributes(outcome).items():
                _patiently(functools.partial(trial.set_user_attr, name, value))
            return outcome.values or FAILED

        with _experimental():
            _patiently(lambda: self._study.optimize(run, n_trials=1))
        return True

    def _is_taken(self, position: int, number: int) -> bool:
        """Whether an earlier trial than `number` has this candidate, and is done or being tried."""
        states = (TrialState.RUNNING, TrialState.COMPLETE)
        return any(
            trial.user_attrs.get(POSITION) == position and trial.number != number and trial.state in states
            for trial in self._trials()
            if trial.state == TrialState.COMPLETE or trial.number < number
        )

    def _enqueue_missing(self) -> None:
        """Where no candidate waits, queue those that the sampler says: none of them is being tried, or done."""
        trials = self._trials()
        if any(trial.state == TrialState.WAITING for trial in trials):
            return
        states = (TrialState.RUNNING, TrialState.COMPLETE)
        begun = [trial.user_attrs for trial in trials if trial.state in states]
        taken = {attributes[POSITION] for attributes in begun if POSITION in attributes}
        tries = [trial.user_attrs.get(POSITION) for trial in trials if trial.state == TrialState.FAIL]
        found = {position: outcome.detection for position, outcome in self.outcomes().items()}
        for position in self._sampler.following(found, taken):
            if tries.count(position) >= MOST_TRIES:
                self.record(Outcome(position, None, {}, f"its worker died {MOST_TRIES} times"))
            else:
                attributes = {POSITION: position}
                parameters = dict(self._candidates[position])
                _patiently(functools.partial(self._study.enqueue_trial, parameters, user_attrs=attributes))

    def _trials(self) -> list[FrozenTrial]:
        return _patiently(lambda: self._study.get_trials(deepcopy=False))


def _attributes(outcome: Outcome) -> dict[str, Any]:
    """What of an outcome Optuna keeps beside the values."""
    failure = {FAILURE: outcome.failure} if outcome.failure else {}
    return {POSITION: outcome.position, DETAILS: dict(outcome.details), **failure}


def _open(storage: str) -> BaseStorage:
    if "://" not in storage:
        path = Path(storage)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(Journal(path))
        except OSError as error:
            raise UserError(
                f"The study's journal {path} cannot be opened ({error.strerror}): give another --storage."
            ) from error
    address = storage.replace("postgresql://", "postgresql+psycopg://", 1)
    # SQLite lets one process write at a time. By itself it waits 5 s for the others, and a busy machine takes longer.
    waits = {"connect_args": {"timeout": OUTAGE_SECONDS}} if storage.startswith("sqlite:") else {}
    try:
        with _experimental():
            return RDBStorage(
                address,
                engine_kwargs={"pool_pre_ping": True, **waits},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
            )
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise classes of their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The storage {_without_password(storage)} cannot be opened ({reason}): give the path of a journal file, "
            "sqlite:///FILE or postgresql://USER@HOST/DATABASE."
        ) from error


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Optuna's heartbeat is marked experimental; it is what it is used for here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _patiently(call: Callable[[], T]) -> T:
    """Call again while the storage does not answer, for OUTAGE_SECONDS at most."""
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            return call()
        except (optuna.exceptions.StorageInternalError, OperationalError) as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"The storage has not answered for {OUTAGE_SECONDS} s: start it and run the same command again, "
                    "which goes on where this one ended."
                ) from error
            log("  the storage does not answer: trying again")
            time.sleep(PAUSE_SECONDS)
        except OSError as error:
            raise UserError(
                f"The study's journal cannot be written ({error.strerror}): see that there is room for it and run the "
                "same command again, which goes on where this one ended."
            ) from error


def _me() -> str:
    """This process, told from others that had its number before: host, number and start."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _alive(worker: str) -> bool:
    """Whether a worker on this machine still runs. One on another machine is taken to."""
    host, process, start = worker.rsplit(":", 2)
    return host != socket.gethostname() or _started(int(process)) == start


def _started(process: int) -> str | None:
    """When a process started, in ticks since the system did; None where there is none."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return status.rsplit(")", 1)[1].split()[19]


def _without_password(storage: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", storage)
