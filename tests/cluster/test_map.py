"""The ordered map: the same results here and on workers, of which one is killed; and what is said of a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fomoad import machine
from fomoad.cluster import kinds
from fomoad.cluster.engine import Engine
from fomoad.cluster.open import Cluster
from fomoad.errors import UserError

on_dask = pytest.importorskip("fomoad.cluster.on_dask")


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Engine]:
    """Two processes on this machine."""
    with Cluster("local:2").open() as engine:
        yield engine


def squared(number: int) -> tuple[int, int]:
    """A task: the square, and how many processors it may use."""
    return number * number, machine.processors()


def killed_once(item: tuple[int, Path]) -> int:
    """A task whose worker is killed in the middle of it, once."""
    number, flag = item
    if number == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def deadly(number: int) -> int:
    """A task that kills each worker that it is given to, if it is number 1."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refused(number: int) -> int:
    """A task that is at fault itself."""
    raise UserError(f"Number {number} cannot be used.")


def told(number: int, reason: str) -> int:
    """What stands for the result of a task that is lost."""
    assert "ended" in reason
    return -number


def test_results_come_in_order_with_one_thread_each(two_workers: Engine) -> None:
    assert list(two_workers.map(squared, range(20), "Squaring")) == [(n * n, 1) for n in range(20)]
    with Cluster().open() as here:
        assert [square for square, _ in here.map(squared, range(20), "Squaring")] == [n * n for n in range(20)]


def test_a_killed_worker_s_tasks_are_done_again(two_workers: Engine, tmp_path: Path) -> None:
    items = [(number, tmp_path / "flag") for number in range(8)]
    assert list(two_workers.map(killed_once, items, "Working")) == list(range(8))
    assert (tmp_path / "flag").exists()


def test_a_task_that_kills_its_workers_is_lost_alone(two_workers: Engine) -> None:
    assert list(two_workers.map(deadly, range(3), "Working", told)) == [0, -1, 2]


def test_what_a_task_refuses_is_said_as_here(two_workers: Engine) -> None:
    with pytest.raises(UserError, match=r"^Number 0 cannot be used\.$"):
        list(two_workers.map(refused, [0], "Working"))


@pytest.mark.parametrize("address", ["local:0", "local:x", "http://a:1", "tcp://a", "tcp://a:x", "here"])
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(UserError, match="cannot be used: give"):
        Cluster(address).open()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "SECONDS_TO_CONNECT", 1)
    engine = Cluster("tcp://127.0.0.1:9").open()
    with pytest.raises(UserError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        engine.__enter__()


@pytest.mark.parametrize(("address", "warned"), [("tcp://10.0.0.1:1", True), ("tcp://127.0.0.1:1", False)])
def test_a_warning_where_anyone_could_run_code(address: str, warned: bool, capsys: pytest.CaptureFixture[str]) -> None:
    Cluster(address).open()
    assert ("Warning: " in capsys.readouterr().out) == warned


def test_workers_of_two_kinds_are_refused() -> None:
    other = replace(kinds.mine(), versions=(("fomoad", "0.0"), *kinds.mine().versions[1:]))
    with pytest.raises(UserError, match=r"tcp://b:1 \(fomoad 0\.0\).*--allow-mixed-workers"):
        kinds.check({"tcp://a:1": kinds.mine(), "tcp://b:1": other})


def started(*arguments: str) -> subprocess.Popen:
    """A process of Dask's own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def slow(number: int) -> int:
    """A task that outlives its scheduler."""
    time.sleep(60)
    return number


def test_the_scheduler_goes_away(tmp_path: Path) -> None:
    """Killed while a task runs: one sentence."""
    port, file = 18786 + os.getpid() % 1000, tmp_path / "scheduler.json"
    scheduler = started(
        "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)
    )
    worker = started("worker", f"tcp://127.0.0.1:{port}", "--no-nanny", "--nthreads", "1", "--no-dashboard")
    try:
        while not file.exists():
            assert scheduler.poll() is None
            time.sleep(0.1)
        with Cluster(f"tcp://127.0.0.1:{port}").open() as engine:
            threading.Timer(2, scheduler.kill).start()
            with pytest.raises(UserError, match=r"The scheduler at tcp://127\.0\.0\.1:\d+ went away"):
                list(engine.map(slow, range(2), "Sleeping"))
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
