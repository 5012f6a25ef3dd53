"""What a person watching a run sees: steps with their times, and a sign of life every ten seconds."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 8.0
"""A log promises a line every ten seconds; this leaves room for a machine that is busy."""

T = TypeVar("T")


def log(message: str) -> None:
    """Print one line to standard output at once."""
    tqdm.write(message, file=sys.stdout)
    sys.stdout.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Name a piece of work, say every few seconds that it still runs, and say how long it took.

    For work that cannot report its own progress: a library call that takes seconds or minutes.
    """
    log(what)
    start = time.monotonic()
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(SECONDS_BETWEEN_LINES):
            log(f"  still {_lower_first(what)} ({time.monotonic() - start:.0f} s so far)")

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    log(f"  done in {time.monotonic() - start:.1f} s")


def track(items: Iterable[T], what: str, total: int, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Yield `items` while showing how much of `total` is done.

    A progress bar where standard output is a terminal, else a plain line every few seconds.
    `size(item)` is how much of `total` an item stands for.
    """
    if sys.stdout.isatty():
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
