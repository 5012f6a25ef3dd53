"""What is logged: one run and its parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """A run: its name, what it was given, what came of it, its files and folders, and the runs that it is made of."""

    name: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    files: tuple[Path, ...] = ()
    parts: tuple["Record", ...] = ()
