"""Lines of scores as they come from `fomoad predict`, a file or a device, one at a time and however broken."""

import json
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 2**20
"""Bytes of a line: more than the largest map takes."""
LONGEST_NAME: Final = 300
MOST_COUNTED: Final = 10**6
"""Images that one line of counters may tell of: a device that counts more between two lines is broken."""


class LineError(Exception):
    """A line that cannot be used, and why."""


@dataclass(frozen=True)
class Scored:
    """An image's score and name; its anomaly map and what a person said of it, where the line has them.

    `sequence` is the line's own number, where it has one: lines of a number that was counted are not counted again.
    """

    score: float
    name: str = ""
    grid: NDArray[np.float64] | None = None
    review: Literal["good", "defect"] | None = None
    sequence: int | None = None


@dataclass(frozen=True)
class Counters:
    """How many scores a device has counted in each bin since it was started, the last bin for flagged images."""

    counts: tuple[int, ...]
    device: str = ""


def parse(line: bytes) -> Scored | Counters | None:
    """Read a line: JSON with `score` or `counters`, or a number; None for one that says an image failed.

    >>> parse(b'{"file": "a.png", "score": 1.5, "verdict": "no anomaly"}').score
    1.5
    >>> parse(b"2.25").score
    2.25

    Raises LineError for everything else.
    """
    if len(line) > LONGEST:
        raise LineError(f"it is longer than {LONGEST} bytes")
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError("it is neither JSON nor a number") from error
    if not isinstance(content, dict):
        return Scored(_number(content, "the line"))
    if "counters" in content:
        return _counters(content)
    if "error" in content and "score" not in content:
        return None
    review = content.get("review")
    if review not in (None, "good", "defect"):
        raise LineError("its review is neither good nor defect")
    name = content.get("file")
    return Scored(
        _number(content.get("score"), "its score"),
        name[:LONGEST_NAME] if isinstance(name, str) else "",
        _grid(content.get("grid")),
        review,
        _whole(content["sequence"], "its sequence") if "sequence" in content else None,
    )


def _counters(content: dict[str, Any]) -> Counters:
    counts, device = content["counters"], content.get("device", "")
    if not isinstance(counts, list) or not counts or len(counts) > 1000 or not isinstance(device, str):
        raise LineError("its counters are no list of counts")
    return Counters(tuple(_whole(count, "one of its counters") for count in counts), device[:LONGEST_NAME])


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LineError(f"{what} is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise LineError(f"{what} is too large") from error
    if not math.isfinite(number) or number < 0:
        raise LineError(f"{what} is {number:g}, and scores are finite and at least 0")
    return number


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise LineError(f"{what} is no whole number from 0 to 2^53")
    return value


def _grid(value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    try:
        grid = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise LineError("its grid is no table of numbers") from error
    if grid.ndim != 2 or not grid.size or not np.isfinite(grid).all():
        raise LineError("its grid is no table of finite numbers")
    return grid
