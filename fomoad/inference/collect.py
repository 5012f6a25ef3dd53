"""`fomoad predict --collect`: photos for a person to look at, and what was said of them.

DIR/to-review holds each photo as it came, and beside it its line as NAME.json. A person, or a tool of theirs, moves
photos to DIR/good and DIR/defects: what has gone there is never touched, and never collected again.
"""

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fomoad.data.new_file import write_new
from fomoad.errors import UserError

TO_REVIEW, GOOD, DEFECTS = "to-review", "good", "defects"
SHARE: Final = 0.02
MOST_PHOTOS: Final = 1000
MOST_BYTES: Final = 2**30
_NAME: Final = re.compile(r"(\d{8})-([0-9a-f]{16})-")
"""A photo's number, which grows, and the beginning of its SHA-256."""


@dataclass(frozen=True)
class Limits:
    """How much is kept for review."""

    share: float = SHARE
    """Of the photos that passed; all flagged ones are kept."""
    photos: int = MOST_PHOTOS
    bytes: int = MOST_BYTES


class Collector:
    """A folder that photos are kept in for review, the oldest first out."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Find out what was collected before. Raises UserError where the folder cannot be made."""
        if not 0 <= limits.share <= 1 or limits.photos < 1 or limits.bytes < 1:
            raise UserError("--collect-share must be from 0 to 1, and the limits of --collect above 0: correct them.")
        self._limits = limits
        self._folder = folder / TO_REVIEW
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            known = [path for place in (TO_REVIEW, GOOD, DEFECTS) for path in (folder / place).glob("[0-9]*")]
            waiting = sorted(path for path in self._folder.glob("[0-9]*") if _is_photo(path))
            self._waiting = {path: path.stat().st_size for path in waiting}
        except OSError as error:
            raise UserError(f"{folder} cannot collect photos ({error.strerror}): give another --collect.") from error
        names = [match for path in known if (match := _NAME.match(path.name))]
        self._seen = {match[2] for match in names}
        self._number = max((int(match[1]) for match in names), default=0)

    def keep(self, photo: Path, flagged: bool, entry: dict[str, Any]) -> Path | None:
        """Keep a photo with its line if it was flagged or is drawn; where, or None.

        The draw is by the file's content, so that the same photo has the same luck each time.
        """
        try:
            content = photo.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            drawn = int(digest[-8:], 16) < self._limits.share * 2**32
            if not (flagged or drawn) or digest[:16] in self._seen or len(content) > self._limits.bytes:
                return None
            self._make_room(len(content))
            self._number += 1
            path = self._folder / f"{self._number:08d}-{digest[:16]}-{_plain(photo)}"
            write_new(_line_of(path), json.dumps(entry).encode() + b"\n")
            write_new(path, content)
        except OSError as error:
            raise UserError(f"{photo} cannot be collected in {self._folder} ({error.strerror or error}).") from error
        self._seen.add(digest[:16])
        self._waiting[path] = len(content)
        return path

    def _make_room(self, size: int) -> None:
        """Remove the oldest photos that wait until one more of so many bytes is within the limits."""
        self._waiting = {path: size for path, size in self._waiting.items() if path.exists()}
        while len(self._waiting) >= self._limits.photos or sum(self._waiting.values()) + size > self._limits.bytes:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            for path in (oldest, _line_of(oldest)):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def _is_photo(path: Path) -> bool:
    return bool(_NAME.match(path.name)) and path.suffix != ".json"


def _line_of(photo: Path) -> Path:
    return photo.with_name(photo.name + ".json")


def _plain(photo: Path) -> str:
    """A photo's name in letters that every file system takes, and no longer than any allows."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", photo.stem)[:100] + photo.suffix.lower()
