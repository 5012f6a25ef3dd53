"""The output directory: one run at a time, and all files of a run or none."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fomoad import signals
from fomoad.errors import UserError

STAGING: Final = ".fomoad-unfinished"
"""Where files are written before they are renamed; a leftover of a killed run is removed by the next."""
TEMPORARY_BYTES: Final = 32 * 2**20
"""More than a zipped SavedModel and the converters' copies of it take."""


@contextmanager
def reserve(directory: Path) -> Iterator[None]:
    """Make the directory, check that it can be written, and keep other runs out until the end.

    Raises UserError where it cannot be made or written, or another run holds it. A directory that this made is
    removed again where the run fails.
    """
    made = _make(directory)
    try:
        handle = _open(directory)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another run is writing to the output directory {directory}: wait for it or give another."
                ) from error
            _check_writable(directory)
            yield
        finally:
            os.close(handle)
    except BaseException:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


@signals.postponed()
def publish(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files beside their places, then rename them there, the last one last.

    The last one of an earlier run goes before anything else is replaced: wherever a run is killed, the last file is
    there only with the files that it was written with. SIGTERM and SIGINT wait until all is done. Raises UserError
    where the disk is full or refuses; the directory is then as it was.
    """
    staging = directory / STAGING
    *_, last = files
    try:
        for folder in filter(Path.is_dir, (directory / name for name in files)):
            raise IsADirectoryError(errno.EISDIR, f"{folder} is a folder")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        for name, content in files.items():
            with (staging / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        (directory / last).unlink(missing_ok=True)
        for name in files:
            (staging / name).replace(directory / name)
    except OSError as error:
        needed = sum(map(len, files.values())) / 2**20
        raise UserError(
            f"The output directory {directory} could not be written ({error.strerror}): {needed:.1f} MiB must be free "
            "and writable there; earlier files are untouched."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_temporary_folder() -> None:
    """Raise UserError where conversions would find no room for their temporary files."""
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(
            "No temporary folder can be written: give the container a tmpfs at /tmp, or set TMPDIR."
        ) from error
    if free < TEMPORARY_BYTES:
        raise UserError(
            f"The temporary folder {folder} has {free / 2**20:.1f} MiB free, but {TEMPORARY_BYTES // 2**20} are "
            "needed: make room there, or set TMPDIR."
        )


def _open(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"The output directory {directory} cannot be written ({error.strerror}): give another or mend that."
        ) from error


def _make(directory: Path) -> list[Path]:
    """Make a folder and its parents, and return those that were made, the deepest first."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The output directory {directory} cannot be made ({error.strerror}): give a folder that can be written."
        ) from error
    return missing


@signals.postponed()
def _check_writable(directory: Path) -> None:
    staging = directory / STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        staging.rmdir()
    except OSError as error:
        raise UserError(
            f"The output directory {directory} cannot be written ({error.strerror}): give another or mend that."
        ) from error
