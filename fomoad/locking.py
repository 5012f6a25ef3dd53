"""One run at a time writes into a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fomoad.errors import UserError


@contextmanager
def hold(directory: Path, what: str) -> Iterator[None]:
    """Keep other runs out of a folder until the end of the block; `what` is its kind, for messages.

    Raises UserError where it cannot be opened or another run holds it.
    """
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"The {what} {directory} cannot be written ({error.strerror}): give another, or allow that."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another run is writing to the {what} {directory}: wait for it or give another."
            ) from error
        yield
    finally:
        os.close(handle)


def missing_folders(directory: Path) -> list[Path]:
    """A folder and its parents that do not exist yet, the deepest first."""
    return [folder for folder in (directory, *directory.parents) if not folder.exists()]
