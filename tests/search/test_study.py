"""A study in real storage, with workers that are killed."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the search's extra is not installed: pip install fomoad[search]")

import psycopg

from fomoad.errors import UserError
from fomoad.search import study as module
from fomoad.search.study import Outcome, Study

NOBODY = 65534
CANDIDATES = [{"side": side, "scoring_function": kind} for side in (32, 64, 96) for kind in ("gmm", "patchcore")]
WORKER = """
import sys, time
from pathlib import Path
from fomoad.search import study
from fomoad.errors import UserError
study.HEARTBEAT_SECONDS, study.GRACE_SECONDS, study.PAUSE_SECONDS = 1, 3, 0.5
candidates = [{"side": side, "scoring_function": kind} for side in (32, 64, 96) for kind in ("gmm", "patchcore")]
candidates = candidates[: int(sys.argv[3])]
def objective(position):
    print(position, flush=True)
    time.sleep(float(sys.argv[2]))
    return study.Outcome(position, (position / 10, 100.0 - position, 1.0, 1.0), {"twice": 2 * position})
try:
    opened = study.Study(sys.argv[1], "caps", "digest", candidates)
    while not opened.finished():
        opened.work(objective)
        time.sleep(0.2)
except UserError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Server:
    """A real PostgreSQL server: its address, and what starts and stops it."""

    address: str
    start: list[str]
    stop: list[str]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    """A server that this test starts."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("no PostgreSQL server is installed here")
    folder = Path(tempfile.mkdtemp(prefix="fomoad-postgresql-"))  # pytest's folders are for root alone
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        os.chown(folder, NOBODY, NOBODY)
    tool = [*as_user, str(binaries[-1] / "pg_ctl"), "--pgdata", str(folder / "data"), "--silent", "--wait"]
    options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
    subprocess.run([*tool, "initdb", "--options", "--auth=trust --username=fomoad"], check=True, capture_output=True)
    start = [*tool, "start", "--options", options, "--log", str(folder / "log")]
    server = Server(f"postgresql://fomoad@/postgres?host={folder}", start, [*tool, "stop", "--mode", "immediate"])
    subprocess.run(server.start, check=True)
    yield server
    subprocess.run(server.stop, check=True)
    shutil.rmtree(folder)


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        return server.address
    return str(tmp_path / "study.journal") if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


def worker(storage: str, seconds: float, candidates: int = len(CANDIDATES)) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, storage, str(seconds), str(candidates)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_candidate_is_tried_once_although_a_worker_is_killed(storage: str) -> None:
    """Two workers, one of which is killed within a trial, and a third that joins late."""
    killed = worker(storage, 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "0\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    others = [worker(storage, 0.1) for _ in range(2)]
    tried = sorted(int(line) for other in others for line in other.communicate(timeout=120)[0].split())
    assert tried == list(range(len(CANDIDATES)))
    opened = Study(storage, "caps", "digest", CANDIDATES)
    outcomes = opened.outcomes()
    assert list(outcomes) == list(range(len(CANDIDATES)))
    for position, outcome in outcomes.items():
        assert outcome.values == (position / 10, 100.0 - position, 1.0, 1.0)
        assert outcome.details == {"twice": 2 * position}
    assert opened.finished()
    assert opened.running() == 0


def test_storage_that_vanishes_and_returns_loses_nothing(postgresql: Server) -> None:
    """The server ends while a worker is busy, and starts again a little later."""
    with psycopg.connect(postgresql.address, autocommit=True) as connection:
        connection.execute("create database outage")
    address = postgresql.address.replace("/postgres?", "/outage?")
    busy = worker(address, 0.5)
    assert busy.stdout is not None
    tried = [int(busy.stdout.readline())]
    subprocess.run(postgresql.stop, check=True)
    time.sleep(1.5)
    subprocess.run(postgresql.start, check=True)
    tried += map(int, busy.communicate(timeout=60)[0].split())
    assert busy.returncode == 0
    assert tried == list(range(len(CANDIDATES)))
    outcomes = Study(address, "caps", "digest", CANDIDATES).outcomes()
    assert [outcome.values for outcome in outcomes.values()] == [(p / 10, 100.0 - p, 1.0, 1.0) for p in outcomes]


def test_a_full_disk_ends_a_worker_and_the_next_goes_on(tmp_path: Path) -> None:
    """A limit of the file's size stands for the disk's end; a line that a killed process left is there as well."""
    path = tmp_path / "journal"
    Study(str(path), "caps", "digest", CANDIDATES)
    command = [sys.executable, "-c", WORKER, str(path), "0", str(len(CANDIDATES))]
    room = (path.stat().st_size + 1500, resource.RLIM_INFINITY)
    limited = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, room)
    )
    assert limited.returncode == 1
    assert "The study's journal cannot be written (File too large)" in limited.stderr
    assert "Traceback" not in limited.stderr
    with path.open("a") as journal:
        journal.write('{"op_code":6,"wor')
    subprocess.run(command, check=True, capture_output=True)
    outcomes = Study(str(path), "caps", "digest", CANDIDATES).outcomes()
    assert [outcome.values for outcome in outcomes.values()] == [(p / 10, 100.0 - p, 1.0, 1.0) for p in outcomes]
    assert list(outcomes) == list(range(len(CANDIDATES)))


def test_a_candidate_that_fails_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    def objective(position: int) -> Outcome:
        if position == 1:
            return Outcome(position, None, {}, "too small")
        return Outcome(position, (1.0, 2.0, 3.0, 4.0), {})

    opened = Study(str(tmp_path / "journal"), "s", "d", CANDIDATES)
    opened.work(objective)
    outcomes = opened.outcomes()
    assert outcomes[1].values is None
    assert outcomes[1].failure == "too small"
    assert outcomes[2].values == (1.0, 2.0, 3.0, 4.0)
    assert opened.finished()


def test_outcomes_of_elsewhere_are_recorded_and_not_tried_again(tmp_path: Path) -> None:
    opened = Study(str(tmp_path / "journal"), "s", "d", CANDIDATES)
    opened.record(Outcome(0, (9.0, 2.0, 3.0, 4.0), {"of": "a cluster"}))
    opened.record(Outcome(3, None, {}, "too small"))
    tried: list[int] = []

    def objective(position: int) -> Outcome:
        tried.append(position)
        return Outcome(position, (1.0, 2.0, 3.0, 4.0), {})

    opened.work(objective)
    assert tried == [1, 2, 4, 5]
    assert opened.outcomes()[0] == Outcome(0, (9.0, 2.0, 3.0, 4.0), {"of": "a cluster"})
    assert opened.outcomes()[3] == Outcome(3, None, {}, "too small")


def test_a_study_of_other_data_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    Study(path, "caps", "one", CANDIDATES)
    with pytest.raises(UserError, match="about other data"):
        Study(path, "caps", "two", CANDIDATES)
    Study(path, "rings", "two", CANDIDATES)


def test_storage_that_cannot_be_opened_is_refused_without_its_password() -> None:
    with pytest.raises(UserError, match=r"postgresql://me:\*\*\*@127.0.0.1:1/db cannot be opened") as caught:
        Study("postgresql://me:secret@127.0.0.1:1/db", "s", "d", CANDIDATES)
    assert "secret" not in str(caught.value)


def test_a_candidate_whose_workers_keep_dying_is_given_up(tmp_path: Path) -> None:
    """As where a candidate takes more memory than there is."""
    path = str(tmp_path / "journal")
    for _ in range(module.MOST_TRIES):
        dying = worker(path, 60, candidates=1)
        assert dying.stdout is not None
        assert dying.stdout.readline() == "0\n"
        dying.kill()
        dying.wait()
    opened = Study(path, "caps", "digest", CANDIDATES[:1])
    opened.recover()
    outcome = opened.outcomes()[0]
    assert outcome.failure == "its worker died 3 times"
