"""What the arguments of `fomoad predict` name: one image file after the other."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fomoad.data.image_file import SUFFIXES
from fomoad.data.walk import files_below, is_folder
from fomoad.errors import UserError

STANDARD_INPUT: Final = "-"


def image_paths(arguments: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """Yield each image's path, and its path below the argument that led to it.

    Folders give all images in them, sorted, without hidden ones; `-` gives the lines of standard input as they come.
    Raises UserError for a folder without images, and where there is no standard input to read.
    """
    for argument in arguments:
        path = Path(argument)
        if argument == STANDARD_INPUT:
            yield from ((Path(line), Path(Path(line).name)) for line in _lines())
        elif is_folder(path):
            shown = [file for file in files_below(path) if file.suffix.lower() in SUFFIXES]
            if not shown:
                raise UserError(f"There are no images in the folder {path}: give another.")
            yield from ((file, file.relative_to(path)) for file in shown)
        else:
            yield path, Path(path.name)


def _lines() -> Iterator[str]:
    """The lines of standard input that are not blank. File names may be of any bytes, not only of UTF-8."""
    if sys.stdin is None:
        raise UserError("There is no standard input to read paths from: name images in place of '-'.")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")
    # Not `for line in sys.stdin`: readline hands a line on at once.
    return (line.rstrip("\r\n") for line in iter(sys.stdin.readline, "") if line.strip())
