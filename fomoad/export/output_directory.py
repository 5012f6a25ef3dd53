"""The output directory: one run at a time, and all files of a run or none."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fomoad import locking, signals
from fomoad.errors import UserError

METADATA_FILE: Final = "anomaly_metadata.json"
"""What says of the other files of a training what they are."""
STAGING: Final = ".fomoad-unfinished"
"""Where files are written before they are renamed; a leftover of a killed run is removed by the next."""
EARLIER: Final = ".earlier"
"""In the folder of unfinished files: those of an earlier run, until all new ones are in their places."""
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
        with locking.hold(directory, "output directory"):
            _check_writable(directory)
            yield
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
        _exchange(directory, staging, list(files))
    except OSError as error:
        needed = sum(map(len, files.values())) / 2**20
        raise UserError(
            f"The output directory {directory} could not be written ({error.strerror}): {needed:.1f} MiB must be free "
            "and writable there; earlier files are as they were."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _exchange(directory: Path, staging: Path, names: list[str]) -> None:
    """Put new files in the place of earlier ones, the last one last; where one refuses, put all back.

    Raises OSError where one refuses, and UserError where an earlier one then cannot be put back.
    """
    earlier = staging / EARLIER
    earlier.mkdir()
    *_, last = names
    done: list[str] = []
    try:
        for name in (last, *names[:-1]):
            if (directory / name).exists():
                (directory / name).replace(earlier / name)
            if name != last:
                done.append(name)
                (staging / name).replace(directory / name)
        (staging / last).replace(directory / last)
    except OSError as error:
        try:
            for name in done:
                (directory / name).unlink(missing_ok=True)
            for path in sorted(earlier.iterdir(), key=lambda path: path.name == last):
                path.replace(directory / path.name)
        except OSError as worse:
            raise UserError(
                f"The output directory {directory} could not be written ({error.strerror}), nor could its earlier "
                f"files be put back ({worse.strerror}): what lies there is incomplete, run again."
            ) from worse
        raise


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


def _make(directory: Path) -> list[Path]:
    """Make a folder and its parents, and return those that were made, the deepest first."""
    missing = locking.missing_folders(directory)
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
            f"The output directory {directory} cannot be written ({error.strerror}): give another one or fix this."
        ) from error
