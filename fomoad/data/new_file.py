"""Files beside those of others: none is seen half-written, and none is written over unless that is asked for."""

import contextlib
import itertools
import os
from pathlib import Path

_NUMBERS = itertools.count()


def write_new(path: Path, content: bytes) -> None:
    """Write a file that appears whole, and only where nothing has this name; folders are made where they are missing.

    Raises FileExistsError where something has, be it a link that leads nowhere.
    """
    beside = _write_beside(path, content)
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def replace_file(path: Path, content: bytes, durable: bool = False) -> None:
    """Write a file that appears whole in the place of another. If `durable`, one or the other outlasts a power cut."""
    beside = _write_beside(path, content, durable)
    try:
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _write_beside(path: Path, content: bytes, durable: bool = False) -> Path:
    """A new file in the same folder. Its name is this process's own, and a link of that name is not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".fomoad-{os.getpid()}-{next(_NUMBERS)}.part")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return beside
