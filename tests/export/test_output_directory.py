"""The output directory is as it was, or complete."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fomoad.errors import UserError
from fomoad.export import output_directory


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_replace_those_of_an_earlier_run(tmp_path: Path) -> None:
    """All of them, and what else lies there stays."""
    (tmp_path / "notes.txt").write_bytes(b"mine")
    (tmp_path / "a").write_bytes(b"old")
    with output_directory.reserve(tmp_path):
        output_directory.publish(tmp_path, {"a": b"1", "b": b"2"})
    assert contents(tmp_path) == {"notes.txt": b"mine", "a": b"1", "b": b"2"}


def test_a_failed_run_leaves_no_trace(tmp_path: Path) -> None:
    """Neither files nor the folders that it made."""
    with pytest.raises(RuntimeError), output_directory.reserve(tmp_path / "new" / "deeper"):
        raise RuntimeError
    assert not (tmp_path / "new").exists()
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(RuntimeError), output_directory.reserve(tmp_path):
        raise RuntimeError
    assert contents(tmp_path) == {"a": b"old"}


def test_a_write_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    """A name that cannot be written stops the run before any file is in its place."""
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(UserError, match="could not be written"), output_directory.reserve(tmp_path):
        output_directory.publish(tmp_path, {"a": b"new", "x" * 300: b"too long a name"})
    assert contents(tmp_path) == {"a": b"old"}


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    """The next run removes what a killed one had begun to write."""
    leftover = tmp_path / output_directory.STAGING
    leftover.mkdir()
    (leftover / "a").write_bytes(b"half")
    with output_directory.reserve(tmp_path):
        output_directory.publish(tmp_path, {"a": b"whole"})
    assert contents(tmp_path) == {"a": b"whole"}


KILLED_AFTER_SO_MANY_CHANGES = """
import os, signal, sys
from pathlib import Path
from fomoad.export import output_directory

left = int(sys.argv[2])

def counted(change):
    def change_or_die(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return change(*arguments, **named)
    return change_or_die

Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
output_directory.publish(Path(sys.argv[1]), {"a": b"new", "b": b"new", "last": b"new"})
"""


@pytest.mark.parametrize("changes", range(7))
def test_killed_between_any_two_changes_the_last_file_is_of_the_others_run_or_gone(
    tmp_path: Path, changes: int
) -> None:
    """Three files go aside, three come in their places: after six changes all is done."""
    old = {"a": b"old", "b": b"old", "last": b"old"}
    output_directory.publish(tmp_path, old)
    arguments = [sys.executable, "-c", KILLED_AFTER_SO_MANY_CHANGES, str(tmp_path), str(changes)]
    code = subprocess.run(arguments).returncode
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    if changes == 0:
        assert left == old
    elif changes < 6:
        assert "last" not in left
    else:
        assert left == dict.fromkeys(old, b"new")
    assert code == (-signal.SIGKILL if changes < 6 else 0)
    output_directory.publish(tmp_path, dict.fromkeys(old, b"next"))
    assert contents(tmp_path) == dict.fromkeys(old, b"next")


def test_a_folder_in_a_files_place_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="b is a folder"):
        output_directory.publish(tmp_path, {"a": b"new", "b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_rename_that_fails_half_way_puts_all_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the renames it is; then the message says what is true."""
    old = {"a": b"old", "b": b"old", "last": b"old"}
    output_directory.publish(tmp_path, old)
    true_replace = Path.replace
    for failing in range(6):
        left = iter(range(100))

        def replace(self: Path, target: Path, failing: int = failing, left: Iterator[int] = left) -> Path:
            if next(left) == failing:
                raise OSError(errno.EIO, "Input/output error")
            return true_replace(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(UserError, match="earlier files are as they were"):
            output_directory.publish(tmp_path, {"a": b"new", "b": b"new", "c": b"new", "last": b"new"})
        assert contents(tmp_path) == old


def test_what_cannot_be_put_back_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output_directory.publish(tmp_path, {"a": b"old", "last": b"old"})
    true_replace = Path.replace
    left = iter(range(100))

    def replace(self: Path, target: Path) -> Path:
        if next(left) >= 2:
            raise OSError(errno.EIO, "Input/output error")
        return true_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UserError, match="nor could its earlier files be put back"):
        output_directory.publish(tmp_path, {"a": b"new", "last": b"new"})


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    """The second run, in another process, gets a sentence."""
    program = (
        "import sys; from pathlib import Path; from fomoad.export import output_directory as o\n"
        "with o.reserve(Path(sys.argv[1])): pass"
    )
    with output_directory.reserve(tmp_path):
        second = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert "Another run is writing" in second.stderr
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == 0


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """A file in the folder's place, and a folder without the right to write."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be made"), output_directory.reserve(tmp_path / "file" / "out"):
        pass
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot be written"), output_directory.reserve(tmp_path / "locked"):
        pass
