"""`fomoad predict`: image files through a model, a line of JSON each, and pictures of what was flagged.

Starts fast and runs on small machines: it needs NumPy, Pillow and the model file's runtime, nothing else.
"""

import contextlib
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data.image_file import RESIZE_MODES, SUFFIXES, Fit, fit, pixels, read_image
from fomoad.data.scaling import DEFAULT_SCALING, from_pixels
from fomoad.errors import UserError
from fomoad.inference import overlay
from fomoad.inference.model import GridModel, load_model

METADATA_FILE: Final = "anomaly_metadata.json"
"""As in fomoad.metadata, whose pydantic is not needed here."""

STANDARD_INPUT: Final = "-"
DEFAULT_RESIZE: Final = "squash"


@dataclass(frozen=True)
class Detector:
    """A model and what to do with an image before it, and with the scores after it."""

    model: GridModel
    threshold: float
    scaling: str
    resize: str

    @property
    def channels(self) -> int:
        return self.model.input.shape[3]

    def grid(self, image: Image.Image) -> tuple[NDArray[np.float32], Fit]:
        """Return the score grid (rows, columns) of an image in mode L or RGB, and how it was fitted."""
        _, height, width, _ = self.model.input.shape
        geometry = fit(image.size, (width, height), self.resize)
        fitted = pixels(geometry.apply(image, Image.Resampling.BILINEAR))
        return self.model.score(from_pixels(fitted, self.scaling)[None])[0], geometry


def run(
    model_path: Path,
    images: Sequence[str],
    overlay_directory: Path | None = None,
    threshold: float | None = None,
    resize: str | None = None,
    scaling: str | None = None,
) -> None:
    """Print a line of JSON for each image, as soon as it is scored; `-` reads paths from standard input.

    What is not given is taken from the metadata beside the model. An image that cannot be used gets a line with
    `error`, and the others are still scored.

    Raises UserError where the model cannot be used, or at the end if any image could not.
    """
    detector = load_detector(model_path, threshold, resize, scaling)
    names = _OverlayNames()
    failed = total = 0
    for path, relative in _image_paths(images):
        total += 1
        line: dict[str, Any] = {"file": str(path)}
        try:
            image = read_image(path, detector.channels)
            grid, geometry = detector.grid(image)
            line |= describe(grid, detector.threshold, geometry)
            if overlay_directory is not None:
                picture = overlay.draw(image, grid, detector.threshold, geometry)
                line["overlay"] = str(_save(picture, overlay_directory / names.name(path, relative)))
        except UserError as error:
            failed += 1
            line["error"] = str(error)
        print(json.dumps(line, ensure_ascii=False), flush=True)
    if failed:
        raise UserError(f"{failed} of {total} images could not be used: the lines with 'error' say why.")


def load_detector(model_path: Path, threshold: float | None, resize: str | None, scaling: str | None) -> Detector:
    """Load a model; what is None comes from the metadata beside it, if those know this file.

    Raises UserError where there is no threshold, or the model or the metadata are damaged.
    """
    model = load_model(model_path)
    metadata = _metadata(model_path)
    if threshold is None:
        threshold = metadata.threshold
    if threshold is None:
        raise UserError(
            f"There is no threshold for {model_path}: put the {METADATA_FILE} of its training beside it, or give "
            "--threshold."
        )
    if not math.isfinite(threshold) or threshold < 0:
        raise UserError(f"The threshold {threshold:g} cannot be used: give a number that is 0 or more.")
    return Detector(model, threshold, scaling or metadata.scaling, resize or metadata.resize)


def describe(grid: NDArray[np.float32], threshold: float, geometry: Fit) -> dict[str, Any]:
    """Return what the scores of an image (rows, columns) say: score, verdict, grid, and boxes in its pixels."""
    if not np.isfinite(grid).all():
        raise UserError("The model gives scores that are no numbers: it is damaged, or trained on damaged data.")
    boxes = []
    for cells, bounds in overlay.regions(grid >= threshold):
        box = overlay.cell_box(bounds, (grid.shape[0], grid.shape[1]), geometry)
        if box is not None:
            left, top, right, bottom = box
            size = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            boxes.append(size | {"score": _shortest(grid[cells].max())})
    return {
        "score": _shortest(grid.max()),
        "verdict": "anomaly" if grid.max() >= threshold else "no anomaly",
        "threshold": threshold,
        "grid": [[_shortest(score) for score in row] for row in grid],
        "boxes": boxes,
    }


@dataclass(frozen=True)
class _Metadata:
    """What prediction takes from the metadata of a training."""

    threshold: float | None = None
    scaling: str = DEFAULT_SCALING
    resize: str = DEFAULT_RESIZE


def _metadata(model_path: Path) -> _Metadata:
    """Read the metadata beside a model; defaults where there are none or they do not know this file."""
    path = model_path.parent / METADATA_FILE
    if not path.is_file():
        return _Metadata()
    digest = hashlib.sha256(model_path.read_bytes()).hexdigest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = [file for file in content["models"].values() if file["sha256"] == digest]
        if not known:
            print(f"Warning: {path} does not know {model_path.name}, so it is not used.", file=sys.stderr)
            return _Metadata()
        resize = content["input"].get("resize")
        threshold = float(known[0]["threshold"]["suggested"])
        return _Metadata(
            threshold, str(content["input"]["scaling"]), resize if resize in RESIZE_MODES else DEFAULT_RESIZE
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no metadata of a training ({error!r}): train again.") from error


def _image_paths(arguments: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """Yield each image's path, and its path below the argument that led to it.

    Folders give all images in them, sorted, without hidden ones; `-` gives the lines of standard input as they come.
    """
    for argument in arguments:
        path = Path(argument)
        if argument == STANDARD_INPUT:
            # Not `for line in sys.stdin`: readline hands a line on at once.
            lines = iter(sys.stdin.readline, "")
            yield from ((Path(line), Path(Path(line).name)) for line in map(str.strip, lines) if line)
        elif path.is_dir():
            found = (file.relative_to(path) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            shown = sorted(file for file in found if not any(part.startswith(".") for part in file.parts))
            if not shown:
                raise UserError(f"There are no images in the folder {path}: give another.")
            yield from ((path / file, file) for file in shown)
        else:
            yield path, Path(path.name)


@dataclass
class _OverlayNames:
    """File names for overlays: two images never share one, and the same image keeps its own."""

    _taken: dict[Path, Path] = field(default_factory=dict)

    def name(self, image: Path, relative: Path) -> Path:
        number = 1
        while True:
            suffix = ".png" if number == 1 else f"_{number}.png"
            name = relative.with_name(relative.stem + suffix)
            if self._taken.setdefault(name, image) == image:
                return name
            number += 1


def _save(picture: Image.Image, path: Path) -> Path:
    """Write a PNG beside and rename it. Raises UserError where that cannot be done."""
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(beside, "PNG")
        return beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise UserError(
            f"The overlay {path} cannot be written ({error.strerror or error}): give another folder."
        ) from error


def _shortest(score: np.float32) -> float:
    """Return the number with the fewest digits that is still this float32."""
    return float(str(score))
