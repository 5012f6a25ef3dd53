"""What `fomoad predict` says of each image: a line of JSON, or of a table that a spreadsheet opens."""

import csv
import io
import json
import sys
from typing import Any, Final, Literal

LineFormat = Literal["jsonl", "csv"]
COLUMNS: Final = ("file", "score", "verdict", "threshold", "boxes", "overlay", "collected", "error", "alarm")
"""Of a table. `boxes` is how many there are."""


def header(line_format: LineFormat) -> str | None:
    """The first line, where the format has one."""
    return ",".join(COLUMNS) if line_format == "csv" else None


def line(entry: dict[str, Any], line_format: LineFormat) -> str:
    """One image's line.

    >>> line({"file": "a,b.png", "score": 1.5, "verdict": "no anomaly", "threshold": 2, "boxes": []}, "csv")
    '"a,b.png",1.5,no anomaly,2,0,,,,'
    """
    if line_format == "csv":
        boxes = {"boxes": len(entry["boxes"])} if "boxes" in entry else {}
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="").writerow({**entry, **boxes})
        return text.getvalue()
    return json.dumps(entry, ensure_ascii=not _takes_all_letters())


def _takes_all_letters() -> bool:
    """Whether standard output takes letters beyond ASCII; in JSON each has another spelling for where it does not."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
