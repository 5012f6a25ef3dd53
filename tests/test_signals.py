"""Programs that are ended by signals, as the system sees them."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fomoad import signals

ROOT = Path(__file__).resolve().parents[1]

HOLDS_THE_INTERPRETER_LOCK = "import re; re.match('(a+)+b', 'a' * 60)"
SLEEPS = "import time; time.sleep(60)"


def start(body: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A supervised program that prints its process id and then does `body`."""
    program = (
        "import os, sys\nfrom fomoad.signals import postponed, supervise\ndef run():\n"
        "    print(os.getpid(), flush=True)\n" + textwrap.indent(body, "    ") + "\n    return 0\n"
        "sys.exit(supervise(run))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup has it ignored
    )


def ends(process: int) -> bool:
    """Whether a process has ended, or does so within seconds: it has closed its files a moment before."""
    state = Path(f"/proc/{process}/stat")
    for _ in range(50):
        try:
            if state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)]
)
@pytest.mark.parametrize("body", [SLEEPS, HOLDS_THE_INTERPRETER_LOCK])
def test_a_signal_ends_whatever_runs(number: signal.Signals, code: int, body: str, tmp_path: Path) -> None:
    program = start(body, tmp_path)
    assert program.stdout is not None
    child = int(program.stdout.readline())
    program.send_signal(number)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == code
    assert errors == f"fomoad: Ended by {number.name}.\n"
    assert ends(child)
    assert list(tmp_path.iterdir()) == []


def test_what_the_child_has_started_ends_with_it(tmp_path: Path) -> None:
    inner = f"import os; print(os.getpid(), flush=True); {SLEEPS}"
    body = f"import subprocess\nsubprocess.run([sys.executable, '-c', {inner!r}])"
    program = start(body, tmp_path)
    assert program.stdout is not None
    processes = [int(program.stdout.readline()) for _ in range(2)]
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=30)
    assert program.returncode == 143
    assert all(ends(process) for process in processes)


def test_a_child_that_heeds_no_signal_is_killed(tmp_path: Path) -> None:
    program = start("with postponed():\n    print('go', flush=True); import time; time.sleep(60)", tmp_path)
    assert program.stdout is not None
    program.stdout.readline(), program.stdout.readline()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=30)
    assert program.returncode == 143


def test_what_is_postponed_is_finished_first(tmp_path: Path) -> None:
    place = tmp_path / "written"
    body = (
        "import pathlib, time\nwith postponed():\n    print('go', flush=True)\n    time.sleep(0.5)\n"
        f"    pathlib.Path({str(place)!r}).write_text('whole')\ntime.sleep(60)"
    )
    program = start(body, tmp_path)
    assert program.stdout is not None
    program.stdout.readline(), program.stdout.readline()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=30)
    assert program.returncode == 143
    assert place.read_text() == "whole"


def test_a_killed_child_is_explained(tmp_path: Path) -> None:
    program = start(SLEEPS, tmp_path)
    assert program.stdout is not None
    os.kill(int(program.stdout.readline()), signal.SIGKILL)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 1
    assert "memory" in errors


def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    program = start(SLEEPS, tmp_path)
    assert program.stdout is not None
    child = int(program.stdout.readline())
    program.kill()
    program.communicate(timeout=30)  # returns once the child, too, has closed its output
    assert ends(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_temporary_files_go_with_the_child(number: signal.Signals, tmp_path: Path) -> None:
    body = f"import tempfile\ntempfile.mkdtemp()\nprint('made', flush=True)\n{SLEEPS}"
    program = start(body, tmp_path)
    assert program.stdout is not None
    child = int(program.stdout.readline())
    program.stdout.readline()
    assert list(tmp_path.iterdir())
    os.kill(child, number)
    program.communicate(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_and_errors_pass_through_but_noise_does_not(tmp_path: Path) -> None:
    lines = [
        "W0000 00:00:1795308435.713137   30723 tf_tfl_flatbuffer_helpers.cc:365] Ignored output_format.",
        "E0000 00:00:1795308435.713137   30723 somewhere.cc:1] This went wrong",
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
        "Traceback (most recent call last):",
    ]
    program = start(f"print({chr(10).join(lines)!r}, file=sys.stderr)\nreturn 7", tmp_path)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 7
    assert errors.splitlines() == [lines[1], lines[3]]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.postponed():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_standard_error_may_be_a_file(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w") as errors:
        finished = subprocess.run([sys.executable, "-m", "fomoad", "nonsense"], cwd=ROOT, stderr=errors, check=False)
    assert finished.returncode == 1
    assert (tmp_path / "errors").read_text().startswith("fomoad: ")
    assert "Traceback" not in (tmp_path / "errors").read_text()


def on_a_terminal(body: str, tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A supervised program that leads the foreground group of a terminal, and the terminal's other end."""
    program = (
        "import fcntl, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nfrom fomoad.signals import supervise\n"
        "def run():\n" + textwrap.indent(body, "    ") + "\n    return 0\nsys.exit(supervise(run))\n"
    )
    mine, its = os.openpty()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, stdin=its, stdout=its, stderr=its,
        start_new_session=True,
    )  # fmt: skip
    os.close(its)
    return process, mine


def said(terminal: int, until: bytes) -> bytes:
    """What a program writes to its terminal, up to some words or its end."""
    text = b""
    while until not in text:
        assert select.select([terminal], [], [], 30)[0], text
        try:
            text += os.read(terminal, 1000)
        except OSError:
            break
    return text


def test_what_is_typed_in_a_terminal_is_answered(tmp_path: Path) -> None:
    """Reading a terminal from a process group in its background would stop the program for good."""
    process, terminal = on_a_terminal("print('got', input().upper(), flush=True)", tmp_path)
    os.write(terminal, b"photo.png\n")
    assert b"got PHOTO.PNG" in said(terminal, b"got PHOTO.PNG")
    assert process.wait(30) == 0
    os.close(terminal)


def test_the_interrupt_key_ends_a_program_in_a_terminal(tmp_path: Path) -> None:
    process, terminal = on_a_terminal(f"print('go', flush=True)\n{SLEEPS}", tmp_path)
    said(terminal, b"go")
    os.write(terminal, b"\x03")
    assert b"Ended by SIGINT." in said(terminal, b"SIGINT.")
    assert process.wait(30) == 130
    os.close(terminal)
