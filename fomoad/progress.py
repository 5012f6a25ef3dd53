"""What a person watching a run sees: steps with their times, and a sign of life every ten seconds.

Everything goes through the logger `fomoad`. The command line prints it; a program that uses the Python API hears
nothing but warnings unless it asks for more, as with every library: `logging.basicConfig(level=logging.INFO)`.
"""

import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO, TypeVar

SECONDS_BETWEEN_LINES = 8.0
"""A log promises a line every ten seconds; this leaves room for a machine that is busy."""

T = TypeVar("T")


LOGGER: Final = logging.getLogger("fomoad")
_ALONE: Final = contextvars.ContextVar("alone", default=False)
"""Whether a step is under way that is to be the only one heard of."""


def log(message: str) -> None:
    """Say one line."""
    if not _ALONE.get():
        LOGGER.info(message)


def warn(message: str) -> None:
    """Say one line that a person should not miss: the command line says it once more at the end."""
    LOGGER.warning(message)


class _Console(logging.Handler):
    """Prints each line at once, and keeps the warnings. `stream` is looked up each time: others may replace it."""

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        super().__init__()
        self.stream = stream
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # here, so that a start does not wait for it

        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.warnings.append(message)
            message = f"Warning: {message}"
        stream = self.stream()
        tqdm.write(message, file=stream)
        stream.flush()


@contextmanager
def console(stream: Callable[[], TextIO] = lambda: sys.stdout) -> Iterator[None]:
    """Print what is said in the block, and its warnings once more where the block ends well."""
    handler = _Console(stream)
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    LOGGER.handlers[:], LOGGER.propagate = [handler], False
    LOGGER.setLevel(logging.INFO)
    try:
        yield
        if handler.warnings:
            log("Warnings of this run:")
            for message in dict.fromkeys(handler.warnings):
                log(f"  {message}")
    finally:
        LOGGER.handlers[:], LOGGER.propagate = before[0], before[2]
        LOGGER.setLevel(before[1])


@contextmanager
def step(what: str, alone: bool = False) -> Iterator[None]:
    """Name a piece of work, say every few seconds that it still runs, and say how long it took.

    For work that cannot report its own progress: a library call that takes seconds or minutes. `alone` leaves out what
    is said inside of it, except for warnings.
    """
    log(what)
    start = time.monotonic()
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(SECONDS_BETWEEN_LINES):
            log(f"  still {_lower_first(what)} ({time.monotonic() - start:.0f} s so far)")

    thread = threading.Thread(target=contextvars.copy_context().run, args=(heartbeat,), daemon=True)
    thread.start()
    before = _ALONE.get()
    _ALONE.set(before or alone)
    try:
        yield
    finally:
        _ALONE.set(before)
        done.set()
        thread.join()
    log(f"  done in {time.monotonic() - start:.1f} s")


def track(items: Iterable[T], what: str, total: int, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Yield `items` while showing how much of `total` is done.

    A progress bar where standard output is a terminal, else a plain line every few seconds.
    `size(item)` is how much of `total` an item stands for.
    """
    if _ALONE.get():
        yield from items
        return
    if sys.stdout.isatty() and any(isinstance(handler, _Console) for handler in LOGGER.handlers):
        from tqdm import tqdm

        with tqdm(total=total, desc=what, file=sys.stdout) as bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    start = last = time.monotonic()
    done = 0
    log(f"{what}: 0 of {total}")
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            remaining = (now - start) / done * (total - done) if done else 0.0
            log(f"  {done} of {total}, about {remaining:.0f} s left")
            last = now
    log(f"  {done} of {total} done in {time.monotonic() - start:.1f} s")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
