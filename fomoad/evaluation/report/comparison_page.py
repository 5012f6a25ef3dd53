"""A comparison of two models as one page that opens from disk, with the anomaly maps of the images that changed."""

import base64
import io
from typing import Any, Final

import numpy as np
from PIL import Image

from fomoad.evaluation.report import PACKAGE
from fomoad.evaluation.results import Results
from fomoad.inference.colormap import colours
from fomoad.pages.render import render as page

MOST_SHOWN: Final = 200
"""Changed images that the page shows; comparison.json names all."""
KINDS: Final = (
    (True, "no anomaly", "Defects that only B finds"),
    (True, "anomaly", "Defects that B misses"),
    (False, "anomaly", "False alarms that B no longer gives"),
    (False, "no anomaly", "New false alarms of B"),
    (None, "no anomaly", "Images without a label that only B calls anomalous"),
    (None, "anomaly", "Images without a label that only A calls anomalous"),
)
"""What a changed image is: what its label means, the first model's verdict, and the heading."""


def render(comparison: dict[str, Any], first: Results, second: Results) -> str:
    """The page. `comparison` is the content of comparison.json, the results are those that it compares."""
    groups = []
    left = MOST_SHOWN
    for anomalous, verdict, title in KINDS:
        mine = [c for c in comparison["changed"] if c["anomalous"] is anomalous and c["first_verdict"] == verdict]
        mine.sort(
            key=lambda image: -abs(image["first_score"] / first.threshold - image["second_score"] / second.threshold)
        )
        if mine:
            shown = [image | {"maps": [_map(each, image["row"]) for each in (first, second)]} for image in mine[:left]]
            groups.append({"title": title, "count": len(mine), "images": shown})
            left -= len(shown)
    return page(
        PACKAGE,
        "comparison.html.jinja",
        ["page.css"],
        [],
        comparison=comparison,
        models=[("A", first), ("B", second)],
        groups=groups,
    )


def _map(results: Results, row: int) -> str:
    """An anomaly map as the base64 of a PNG file, a pixel for a cell, in the report's colours."""
    shades = colours(np.array(results.images[row].grid), results.threshold)
    encoded = io.BytesIO()
    Image.fromarray(shades).save(encoded, "PNG")
    return base64.b64encode(encoded.getvalue()).decode()
