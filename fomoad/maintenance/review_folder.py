"""The folders of `fomoad predict --collect`: photos that wait, and those that a person called good or defects."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw

from fomoad.data.image_file import SUFFIXES, read_image
from fomoad.errors import UserError
from fomoad.inference.collect import DEFECTS, GOOD, TO_REVIEW

LONGEST_SIDE: Final = 1400
"""Larger photos are shown at this size."""
MOST_LINE_BYTES: Final = 2**20
BOX_COLOUR: Final = (255, 64, 32)
VERDICTS: Final = {GOOD: "good", DEFECTS: "defect"}
"""What a folder says of its photos, in the words of `fomoad monitor`."""


@dataclass(frozen=True)
class ReviewFolder:
    """A folder with `to-review/`, `good/` and `defects/`. Names are those of photos, without any folder."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "ReviewFolder":
        """Make `good/` and `defects/` where they are missing.

        Raises UserError where there is nothing to review, or the folders cannot be made.
        """
        if not (root / TO_REVIEW).is_dir():
            raise UserError(f"There is no {root / TO_REVIEW}: collect photos with fomoad predict --collect {root}.")
        try:
            for name in VERDICTS:
                (root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{root} cannot be written ({error.strerror}): photos could not be sorted there."
            ) from error
        return cls(root)

    def waiting(self) -> list[str]:
        """The photos to review, oldest first."""
        return sorted(path.name for path in (self.root / TO_REVIEW).iterdir() if _is_photo(path))

    def counts(self) -> dict[str, int]:
        """How many photos lie in each folder."""
        return {name: sum(_is_photo(path) for path in (self.root / name).iterdir()) for name in (TO_REVIEW, *VERDICTS)}

    def line(self, name: str) -> dict[str, Any]:
        """What predict said of a photo that waits; empty where that is not known."""
        path = self._line(TO_REVIEW, self._checked(TO_REVIEW, name))
        try:
            content = json.loads(path.read_bytes()[:MOST_LINE_BYTES])
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def picture(self, name: str) -> bytes:
        """A photo that waits, as PNG, with boxes round what was flagged."""
        image = read_image(self.root / TO_REVIEW / self._checked(TO_REVIEW, name), 3)
        draw = ImageDraw.Draw(image)
        for box in self.line(name).get("boxes") or []:
            try:
                left, top = int(box["x"]), int(box["y"])
                corners = (left, top, left + int(box["width"]), top + int(box["height"]))
            except (KeyError, TypeError, ValueError):
                continue
            if corners[0] <= corners[2] and corners[1] <= corners[3]:
                draw.rectangle(corners, outline=BOX_COLOUR, width=max(1, min(image.size) // 150))
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
        return encoded.getvalue()

    def move(self, name: str, source: str, target: str) -> None:
        """Move a photo and its line from one of the three folders to another; the line gets the verdict.

        Raises UserError where there is no such photo, or one of its name lies there already.
        """
        photo = self.root / source / self._checked(source, name)
        there = self.root / target / name
        if there.exists():
            raise UserError(f"{there} is there already: rename one of the two.")
        line = self._line(source, name)
        if line.is_file():
            content = self.line(name) if source == TO_REVIEW else json.loads(line.read_bytes())
            content.pop("review", None)
            if target in VERDICTS:
                content["review"] = VERDICTS[target]
            self._line(target, name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
            line.unlink()
        photo.rename(there)

    def _checked(self, folder: str, name: str) -> str:
        """The name, if it is a photo's in that folder. Raises UserError where it is anything else."""
        if Path(name).name != name or not _is_photo(self.root / folder / name):
            raise UserError(f"There is no photo {name!r} in {self.root / folder}: load the page again.")
        return name

    def _line(self, folder: str, name: str) -> Path:
        return self.root / folder / f"{name}.json"


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
