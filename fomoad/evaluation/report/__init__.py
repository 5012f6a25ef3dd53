"""Results and pictures to one page that opens from disk and asks nothing of any network."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fomoad.evaluation.results import Results
from fomoad.inference import colormap
from fomoad.pages.render import embeddable
from fomoad.pages.render import render as page

PACKAGE = "fomoad.evaluation.report"

SCRIPTS = (
    "data.js",
    "charts.js",
    "overlay.js",
    "enlarge.js",
    "gallery.js",
    "thresholds.js",
    "page.js",
    "detection.js",
    "kinds.js",
)
"""In the order in which they stand in the page: each uses those before it."""

STYLES = ("page.css", "detection.css", "kinds.css", "suspects.css")


@dataclass(frozen=True)
class Picture:
    """What the page shows of a test image beside its scores."""

    jpeg: bytes
    outline: str | None
    """The defects' outline as an SVG path in pixels, where there is a mask."""
    proportions: float | None = None
    """The photo's own width divided by its height, where it was squeezed to the model's and that is known."""


def render(results: Results, pictures: Sequence[Picture], suspects: Sequence[object] = ()) -> str:
    """Return the page. `pictures` are in row order, one for each of `results.images`; see suspects.ShownSuspect."""
    return page(
        PACKAGE,
        "page.html.jinja",
        STYLES,
        SCRIPTS,
        results=results,
        suspects=suspects,
        results_json=embeddable(results.model_dump_json(exclude={"images": {"__all__": {"grid"}}})),
        pictures_json=embeddable(json.dumps(_pictures(pictures))),
        grids=_grids(results),
    )


def _pictures(pictures: Sequence[Picture]) -> dict[str, object]:
    return {
        "jpegs": [base64.b64encode(picture.jpeg).decode() for picture in pictures],
        "outlines": [picture.outline for picture in pictures],
        "palette": colormap.palette().tolist(),
        "fullAt": colormap.FULL_AT,
        "passedOpacity": colormap.PASSED_OPACITY,
        "proportions": [picture.proportions for picture in pictures],
    }


def _grids(results: Results) -> str:
    """All cells as little-endian float32 in base64: a tenth of the time that parsing numbers takes, and exact."""
    cells = np.array([image.grid for image in results.images], "<f4")
    return base64.b64encode(cells.tobytes()).decode()
