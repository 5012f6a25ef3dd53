"""Ending at any moment: a command runs in a child process, and its parent does nothing but watch.

A call into TensorFlow or SciPy can hold Python's interpreter lock for seconds, and as process 1 of a container a
program gets no signal that it does not handle. The parent always answers at once, and lives to say what happened
where the kernel kills the child because the memory is used up.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
GRACE_SECONDS: Final = 1.5
"""How long a child may go on after such a signal: enough to finish writing its files."""
SIGNAL_EXIT: Final = 128
"""Added to a signal's number to give the exit code, as shells do."""
NOISE: Final = re.compile(rb"[IW]\d{4} \d\d:|WARNING: All log messages before absl::|INFO: Created TensorFlow Lite ")
"""Notes and warnings that TensorFlow and LiteRT write whatever they are told."""
_NOTE: Final = "remove-"
_supervised_in: str | None = None
"""The folder for temporary files that the supervising process removes; None where there is none."""
PR_SET_PDEATHSIG: Final = 1
"""The request to Linux to send a signal when the parent dies (linux/prctl.h)."""


def supervise(run: Callable[[], int]) -> int:
    """Call `run` in a child process and return its exit code, or 128 + N where signal N was to end it.

    Both processes return from here; the caller exits with the result. The child's temporary files go with it, and of
    its standard error the libraries' noise is left out. Where there is no fork, `run` is called in this process.
    """
    if not hasattr(os, "fork"):
        return run()
    temporary = _temporary_folder()
    parent = os.getpid()
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    own_group = not _reads_a_terminal()
    child = os.fork()
    if own_group:
        with contextlib.suppress(OSError):  # both processes do so: whoever comes first
            os.setpgid(child, child)
    if child == 0:
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        # The old stream may remember a file to seek in, which a pipe is not.
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        _become_child(parent, temporary)
        return run()
    os.close(writing)
    try:
        return _watch(child, reading, own_group)
    finally:
        if temporary:
            _remove_what_was_noted(Path(temporary))
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Hold back signals that end a run until the end of the block, which must be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    previous = {number: signal.signal(number, lambda number, _: received.append(number)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for first in received[:1]:
            signal.raise_signal(first)


@contextlib.contextmanager
def removed_if_killed(folder: Path, made: Sequence[Path] = ()) -> Iterator[None]:
    """Have the supervising process remove a folder where this one ends within the block; then `made`, if empty.

    A signal ends a supervised program at once, so that it cannot tidy up itself. Elsewhere this does nothing.
    """
    if _supervised_in is None:
        yield
        return
    handle, name = tempfile.mkstemp(prefix=_NOTE, dir=_supervised_in)
    with os.fdopen(handle, "wb") as note:
        note.write(b"\0".join(os.fsencode(path.absolute()) for path in (folder, *made)))
    yield
    Path(name).unlink()


def _remove_what_was_noted(temporary: Path) -> None:
    for note in temporary.glob(f"{_NOTE}*"):
        with contextlib.suppress(OSError):
            folder, *made = note.read_bytes().split(b"\0")
            shutil.rmtree(folder, ignore_errors=True)
            for path in made:
                Path(os.fsdecode(path)).rmdir()


def _become_child(parent: int, temporary: str | None) -> None:
    """Die at once of a signal, whatever runs, and with the parent; keep temporary files in the given folder."""
    global _supervised_in
    if temporary:
        os.environ["TMPDIR"] = tempfile.tempdir = _supervised_in = temporary
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(SIGNAL_EXIT + signal.SIGKILL)
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _reads_a_terminal() -> bool:
    """Whether standard input is a terminal, which stops every process outside its foreground group that reads it."""
    try:
        return os.isatty(0)
    except OSError:
        return False


def _watch(child: int, errors: int, own_group: bool) -> int:
    """End the child where a signal asks for it, kill it where it does not end, and turn its end into an exit code.

    Where the child leads a process group, what it has started ends with it.
    """

    def kill(number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if own_group else os.kill)(child, number)

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        kill(signal.SIGTERM)  # whatever the number: SIGQUIT would leave a core file
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    received: list[int] = []
    reader = threading.Thread(target=_pass_on, args=(errors,), daemon=True)
    reader.start()
    signal.signal(signal.SIGALRM, lambda *_: kill(signal.SIGKILL))
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
            signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.setitimer(signal.ITIMER_REAL, 0)
    if own_group:
        kill(signal.SIGKILL)
    reader.join()
    return status if status >= 0 else _explain(received[0] if received else -status)


def _pass_on(errors: int) -> None:
    """Copy the child's standard error to this process', line by line, without noise, until the child has ended."""
    with open(errors, "rb") as lines:
        for line in lines:
            if not NOISE.match(line):
                with contextlib.suppress(OSError):
                    os.write(2, line)


def _explain(number: int) -> int:
    """Say which signal ended a run, and return its exit code: that of the shells where somebody asked for it, or 1."""
    name = signal.Signals(number).name
    if number in ENDING:
        message = f"Ended by {name}."
    elif number == signal.SIGKILL:
        message = (
            "The run was killed, most likely because the memory is used up: give it more memory (docker run -m), or "
            "lower --memory-limit."
        )
    else:
        message = f"The run crashed ({name}): TensorFlow needs a processor with AVX; if this one has it, report this."
    print(f"fomoad: {message}", file=sys.stderr, flush=True)
    return SIGNAL_EXIT + number if number in ENDING else 1


def _temporary_folder() -> str | None:
    try:
        return tempfile.mkdtemp(prefix="fomoad-")
    except OSError:
        return None
