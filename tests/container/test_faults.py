"""Trainings that are ended, starved and sabotaged: one plain message, and the output as it was or complete."""

import random
import time
from pathlib import Path

import pytest

from tests.container.containers import USER, Trainer, check_complete, check_models, last_line, setting

KILLS = setting("FOMOAD_TEST_KILLS", 3)


@pytest.mark.parametrize("moment", ["Checking training images", "Extracting features", "Converting the backbone"])
@pytest.mark.parametrize(("signal", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_process_1_in_two_seconds(
    trainer: Trainer, data: Path, out: Path, moment: str, signal: str, code: int
) -> None:
    """docker stop sends SIGKILL, exit code 137, to what does not end in time."""
    running = trainer.start(data, out, ("--stop-signal", signal))
    running.wait_for(moment)
    running.stop(seconds=2)
    ended, log = running.wait()
    assert (ended, last_line(log)) == (code, f"fomoad: Ended by {signal}.")
    assert list(out.iterdir()) == []
    assert running.temporary_files() == []


def test_killed_at_any_moment(trainer: Trainer, data: Path, out: Path) -> None:
    """The output is that of the earlier run or of the killed one, and the next run works."""
    seed = ("--data-directory", "/data", "--out-directory", "/out", "--seed")
    code, log = trainer.run(data, out, arguments=(*seed, "1"))
    assert code == 0, log
    lines = len(log.splitlines())
    moments = random.Random(1)
    for _ in range(KILLS):
        running = trainer.start(data, out, arguments=(*seed, "2"))
        running.wait_for_line(moments.randrange(lines))
        time.sleep(moments.uniform(0, 1))
        running.signal("SIGKILL")
        running.wait()
        leftover = out / ".fomoad-unfinished"
        assert not leftover.exists() or leftover.is_dir()
        if not leftover.exists():
            check_complete(out)
        elif (out / "anomaly_metadata.json").exists():
            check_models(out)
    assert trainer.run(data, out)[0] == 0
    check_complete(out)


def test_a_full_disk(trainer: Trainer, data: Path) -> None:
    code, log = trainer.run(data, None, ("--tmpfs", "/out:size=64k,mode=777", "--user", USER))
    assert code == 1
    assert last_line(log).startswith("fomoad: The output directory /out could not be written (No space left on device)")


@pytest.mark.parametrize("options", [("--read-only",), ("--read-only", "--tmpfs", "/tmp:size=16k")])
def test_no_room_for_temporary_files(trainer: Trainer, data: Path, out: Path, options: tuple[str, ...]) -> None:
    code, log = trainer.run(data, out, options)
    assert code == 1
    assert "temporary" in last_line(log)
    assert "Checking" not in log
    assert list(out.iterdir()) == []


def test_an_output_directory_that_cannot_be_written(trainer: Trainer, data: Path, out: Path) -> None:
    for options in (("--volume", f"{out}:/out:ro"), ("--tmpfs", "/out:mode=700", "--user", USER)):
        code, log = trainer.run(data, None, options)
        assert code == 1
        assert "Checking" not in log
        assert last_line(log).startswith("fomoad: The output directory /out cannot be written")


def test_data_that_vanishes_while_it_is_read(trainer: Trainer, data: Path, out: Path) -> None:
    """An open file stays readable."""
    running = trainer.start(data, out)
    running.wait_for("Extracting features")
    for path in data.iterdir():
        path.unlink()
    code, log = running.wait()
    assert code == 0, log
    check_complete(out)
    assert running.temporary_files() == []


def test_data_that_shrinks_while_it_is_read(trainer: Trainer, data: Path, out: Path) -> None:
    running = trainer.start(data, out)
    running.wait_for("Correcting biases for int8")
    with (data / "X_split_train.npy").open("r+b") as file:
        file.truncate(1000)
    code, log = running.wait()
    assert code == 1
    assert "changed while it was read" in last_line(log)
    assert list(out.iterdir()) == []


def test_two_runs_into_one_directory(trainer: Trainer, data: Path, out: Path) -> None:
    first = trainer.start(data, out)
    first.wait_for("Checking training images")
    with first.paused():  # or it might be over before the second one comes that far
        code, log = trainer.run(data, out)
    assert code == 1
    assert last_line(log).startswith("fomoad: Another run is writing to the output directory /out")
    assert first.wait()[0] == 0
    check_complete(out)


def test_too_little_memory(trainer: Trainer, data: Path, out: Path) -> None:
    """The kernel kills the child; its parent lives to say so."""
    code, log = trainer.run(data, out, ("--memory", "200m", "--memory-swap", "200m"))
    assert code == 1
    assert "memory is used up" in last_line(log)
    assert list(out.iterdir()) == []
