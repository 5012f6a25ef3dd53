"""`fomoad predict`: image files through a model, a line each, pictures of what was flagged, and photos for review.

Starts fast and runs on small machines: it needs NumPy, Pillow and the model file's runtime, nothing else.
"""

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data.image_file import MAX_PIXELS, RESIZE_MODES, Placement, pixels, place, read_image, reduction
from fomoad.data.info_file import MAX_JSON_BYTES
from fomoad.data.scaling import DEFAULT_SCALING, SCALINGS, from_pixels
from fomoad.data.tiles import OVERLAP, Tiling
from fomoad.errors import UserError
from fomoad.export.output_directory import METADATA_FILE
from fomoad.geometry import CellGeometry, evenly
from fomoad.inference import ignored_cells, lines, overlay, overlay_file
from fomoad.inference.collect import Collector
from fomoad.inference.image_paths import STANDARD_INPUT, image_paths
from fomoad.inference.lines import LineFormat
from fomoad.inference.model import GridModel, load_model
from fomoad.inference.overlay_file import OverlayNames
from fomoad.vote import Vote, Voter

ANOMALY: Final = "anomaly"
DEFAULT_RESIZE: Final = "squash"
NO_VOTE: Final = Vote()


@dataclass(frozen=True)
class Detector:
    """A model and what to do with an image before it, and with the scores after it.

    With a `tiling`, an image is cut into tiles of the model's size, and `cells` are those of the joined map. Cells that
    are `ignored` (rows, columns) score 0, whatever the image; None: there are none.
    """

    model: GridModel
    threshold: float
    scaling: str
    resize: str
    cells: CellGeometry
    vote: Vote = NO_VOTE
    tiling: Tiling | None = None
    ignored: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        model: GridModel,
        threshold: float,
        scaling: str,
        resize: str,
        cells: CellGeometry,
        vote: Vote = NO_VOTE,
        tiling: Tiling | None = None,
        ignored: NDArray[np.bool_] | None = None,
    ) -> "Detector":
        """A detector of a model whose own map has these cells. Raises UserError where its tiles do not fit together."""
        _, height, width, _ = model.input.shape
        if tiling is not None and not tiling.fits(height, width):
            raise UserError(f"Tiles of {width} x {height} pixels leave gaps in photos that were cut so: train again.")
        if tiling is not None:
            cells, ignored = tiling.cells(cells), None
        return cls(model, threshold, scaling, resize, cells, vote, tiling, ignored)

    def of_a_tile(self) -> "Detector":
        """The detector of a single tile, which the device is given: a photo is anomalous where any of its tiles is."""
        if self.tiling is None:
            return self
        _, rows, columns = self.model.output.shape
        axes = replace(self.cells.vertical, count=rows), replace(self.cells.horizontal, count=columns)
        return replace(self, cells=CellGeometry(*axes), tiling=None)

    @property
    def channels(self) -> int:
        return self.model.input.shape[3]

    def read(self, path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Read an image file for this model. Raises UserError where that cannot be done."""
        image = read_image(path, self.channels, max_pixels)
        if reduction(image) > 1 and self.resize == "crop":
            raise UserError(f"The image {path} is too large to be cut out of: raise --max-pixels.")
        return image

    def grid(self, image: Image.Image) -> tuple[NDArray[np.float32], Placement]:
        """Return the score grid (rows, columns) of an image in mode L or RGB, and how it was fitted."""
        _, height, width, _ = self.model.input.shape
        shape = self.tiling.photo_shape(height, width) if self.tiling else (height, width)
        geometry = place(image.size, shape[::-1], self.resize)
        fitted = pixels(geometry.apply(image, Image.Resampling.BILINEAR))
        if self.tiling is None:
            return self._score(fitted), geometry
        maps = np.stack([self._score(tile) for tile in self.tiling.cut(fitted, height, width)])
        return self.tiling.join(maps, self.cells), geometry

    def _score(self, fitted: NDArray[np.uint8]) -> NDArray[np.float32]:
        grid: NDArray[np.float32] = self.model.score(from_pixels(fitted, self.scaling)[None])[0]
        return grid


@dataclass(frozen=True)
class Outputs:
    """What is said of each image, and what is written."""

    line_format: LineFormat = "jsonl"
    grids: bool = False
    overlays: Path | None = None
    collector: Collector | None = None
    max_pixels: int = MAX_PIXELS


def run(detector: Detector, images: Sequence[str], outputs: Outputs) -> None:
    """Print a line for each image, as soon as it is scored, and a summary; `-` reads paths from standard input.

    An image that cannot be used gets a line with `error`, and the others are still scored. Where paths come from
    standard input and the detector votes, each line says whether the vote is an alarm; errors do not count in it.

    Raises UserError at the end if any image could not be used.
    """
    names = OverlayNames()
    voter = Voter(detector.vote) if detector.vote != NO_VOTE and STANDARD_INPUT in images else None
    counts: Counter[str] = Counter()
    if first := lines.header(outputs.line_format):
        print(first, flush=True)
    for path, relative in image_paths(images):
        entry: dict[str, Any] = {"file": str(path)}
        try:
            _predict(detector, path, names.name(path, relative), outputs, entry)
            if voter:
                entry["alarm"] = voter.add(entry["verdict"] == ANOMALY)
        except UserError as error:
            entry["error"] = str(error)
        counts["error" if "error" in entry else entry["verdict"]] += 1
        print(lines.line(entry, outputs.line_format), flush=True)
    total, failed = counts.total(), counts["error"]
    summary = f"{total} image{'' if total == 1 else 's'}: {counts['anomaly']} flagged, {counts['no anomaly']} passed"
    if failed:
        raise UserError(f"{summary}; {failed} of {total} could not be used: the lines with 'error' say why.")
    print(f"fomoad: {summary}.", file=sys.stderr, flush=True)


def _predict(detector: Detector, path: Path, overlay_name: Path, outputs: Outputs, entry: dict[str, Any]) -> None:
    """Score one image, add what there is to say to its entry, and write its files."""
    image = detector.read(path, outputs.max_pixels)
    grid, geometry = detector.grid(image)
    entry |= describe(grid, detector.threshold, detector.cells, geometry, reduction(image))
    if outputs.grids:
        entry["grid"] = [[_shortest(score) for score in row] for row in grid]
    if outputs.collector:
        kept = outputs.collector.keep(path, entry["verdict"] == ANOMALY, entry)
        entry |= {"collected": str(kept)} if kept else {}
    if outputs.overlays:
        picture = overlay.draw(image, grid, detector.threshold, detector.cells, geometry, detector.ignored)
        entry["overlay"] = str(overlay_file.save(picture, outputs.overlays / overlay_name, path))


def load_detector(
    model_path: Path,
    threshold: float | None,
    resize: str | None,
    scaling: str | None,
    trust: bool = False,
    vote: str | None = None,
    tiles: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> Detector:
    """Load a model; what is None comes from the metadata beside it, if those know this file. See `load_model`.

    `tiles` are rows and columns of tiles to cut images into, which overlap by a share.

    Raises UserError where there is no threshold, or the model or the metadata are damaged.
    """
    model = load_model(model_path, trust)
    metadata = _metadata(model_path)
    for name, given, trained in (
        ("--image-input-scaling", scaling, metadata.scaling), ("--resize", resize, metadata.resize)
    ):  # fmt: skip
        if metadata.threshold is not None and given not in (None, trained):
            print(f"Warning: {name} is {given}, but {model_path} was trained with {trained}.", file=sys.stderr)
    if threshold is None:
        threshold = metadata.threshold
    if threshold is None:
        raise UserError(
            f"There is no threshold for {model_path}: put the {METADATA_FILE} of its training beside it, or give "
            "--threshold."
        )
    if not usable_threshold(threshold):
        raise UserError(f"The threshold {threshold:g} cannot be used: give a number that is 0 or more.")
    (_, rows, columns), (_, height, width, _) = model.output.shape, model.input.shape
    tiling = metadata.tiling if tiles is None else Tiling.of(*tiles, overlap, (height, width))
    if metadata.threshold is not None and tiling != metadata.tiling:
        print(
            f"Warning: {model_path} was trained on photos that were cut otherwise: its threshold is not for these.",
            file=sys.stderr,
        )
    cells = metadata.cells
    if cells is None or cells.shape != (rows, columns):
        cells = evenly((rows, columns), (height, width))
    try:
        voting = Vote.parse(vote) if vote is not None else metadata.vote
    except ValueError as error:
        raise UserError(f"--vote cannot be {vote!r}: {error}.") from error
    scaling, resize = scaling or metadata.scaling, resize or metadata.resize
    ignored = ignored_cells.of_text(metadata.ignored, (rows, columns))
    return Detector.of(model, threshold, scaling, resize, cells, voting, tiling, ignored)


def usable_threshold(threshold: float) -> bool:
    """Whether scores, which are 0 or more, can be compared with a threshold."""
    return math.isfinite(threshold) and threshold >= 0


def describe(
    grid: NDArray[np.float32], threshold: float, cells: CellGeometry, geometry: Placement, reduced: int = 1
) -> dict[str, Any]:
    """Return what the scores of an image (rows, columns) say: score, verdict, and boxes in the pixels of its file.

    `reduced` is how many times smaller each side was read.
    """
    if not np.isfinite(grid).all():
        raise UserError("The model gives scores that are no numbers: it is damaged, or trained on damaged data.")
    boxes = []
    for group, bounds in overlay.regions(grid >= threshold):
        box = overlay.region_box(bounds, cells, geometry)
        if box is not None:
            left, top, right, bottom = (edge * reduced for edge in box)
            size = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            boxes.append(size | {"score": _shortest(grid[group].max())})
    return {
        "score": _shortest(grid.max()),
        "verdict": ANOMALY if grid.max() >= threshold else "no anomaly",
        "threshold": threshold,
        "boxes": boxes,
    }


@dataclass(frozen=True)
class _Metadata:
    """What prediction takes from the metadata of a training."""

    threshold: float | None = None
    scaling: str = DEFAULT_SCALING
    resize: str = DEFAULT_RESIZE
    cells: CellGeometry | None = None
    vote: Vote = NO_VOTE
    tiling: Tiling | None = None
    ignored: list[str] | None = None


def _metadata(model_path: Path) -> _Metadata:
    """Read the metadata beside a model; defaults where there are none or they do not know this file."""
    path = model_path.parent / METADATA_FILE
    if not path.is_file():
        return _Metadata()
    digest = hashlib.sha256(model_path.read_bytes()).hexdigest()
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        known = [file for file in content["models"].values() if file["sha256"] == digest]
        if not known:
            print(f"Warning: {path} does not know {model_path.name}, so it is not used.", file=sys.stderr)
            return _Metadata()
        resize, scaling = content["input"].get("resize"), content["input"]["scaling"]
        threshold = float(known[0]["threshold"]["suggested"])
        if not usable_threshold(threshold):
            raise ValueError(f"a threshold of {threshold}")
        if scaling not in SCALINGS:
            raise ValueError(f"a scaling of {scaling}")
        grid, tiles = content.get("grid", {}), content["input"].get("tiles")
        cells, ignored = grid.get("cells"), grid.get("ignored")
        if ignored is not None and not all(isinstance(row, str) for row in ignored):
            raise ValueError("ignored cells that are no texts")
        return _Metadata(
            threshold,
            scaling,
            resize if resize in RESIZE_MODES else DEFAULT_RESIZE,
            CellGeometry.read(cells) if cells else None,
            Vote.parse(content.get("vote", "1/1")),
            Tiling.read(tiles) if tiles else None,
            ignored,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not the metadata of a training ({error!r}): train again.") from error


def _shortest(score: np.float32) -> float:
    """Return the number with the fewest digits that is still this float32."""
    return float(str(score))
