"""The files below a folder, as a person sees them: links are followed, hidden files are left out."""

import os
from collections.abc import Iterator
from pathlib import Path

from fomoad.errors import UserError


def files_below(folder: Path) -> list[Path]:
    """All that is no folder below one, sorted by path: files, and also pipes and links that lead nowhere.

    Links to folders are followed, each real folder once, so that a link to a folder above ends. Raises UserError for a
    folder that cannot be read.
    """
    return sorted(_walk(folder, set()))


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False for paths that the system refuses, such as those that are too long."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_hidden(name: str) -> bool:
    """Whether an operating system, not a person, keeps a file of this name."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini", "__MACOSX")


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            return
        seen.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_hidden(entry.name))
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror}): allow that or move it away."
        ) from error
    for path in (folder / name for name in names):
        if is_folder(path):
            yield from _walk(path, seen)
        else:
            yield path
