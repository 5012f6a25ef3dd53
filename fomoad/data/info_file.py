"""JSON files, and the one among them that says what a data directory holds: the block's train_input.json."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fomoad.data import scaling
from fomoad.data.image_file import RESIZE_MODES
from fomoad.data.tiles import Tiling
from fomoad.errors import UserError

MAX_JSON_BYTES: Final = 256 * 2**20


@dataclass(frozen=True)
class Info:
    """What the info file says that matters here."""

    classes: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    scaling: str | None = None
    """How the images are scaled, where the writer of the data directory says it."""
    resize: str | None = None
    """How photos were brought to the images' size (one of `RESIZE_MODES`), where the writer says it."""
    tiling: Tiling | None = None
    """How photos were cut into tiles, which are the images then; None where each image is a photo."""


def read_info(path: Path | None, directory: Path) -> Info:
    """Read the info file, or `train_input.json` in the data directory where none is named and there is one.

    Unknown keys are ignored. Raises UserError where the file is missing, no JSON, or its keys have wrong types.
    """
    if path is None:
        path = directory / "train_input.json"
        if not path.is_file():
            return Info()
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"The info file {path} does not hold a JSON object: give the train_input.json of the block.")
    classes = content.get("classes")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UserError(f"In the info file {path}, 'classes' is not a list of names: correct or remove it.")
    return Info(
        tuple(classes) if classes else None,
        _input_shape(content),
        _known(content.get("imageInputScaling"), scaling.SCALINGS),
        _known(content.get("imageResize"), RESIZE_MODES),
        _tiling(content, path),
    )


def read_json(path: Path, make_object: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    """Read a JSON file; `make_object` makes an object of its keys and values, and may raise ValueError.

    Raises UserError where it is missing, too large, too deep or no JSON."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file: give a JSON file.")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UserError(
                f"{path} is larger than {MAX_JSON_BYTES // 2**20} MiB: this is no file of a data directory."
            )
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=make_object)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give an existing file.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({str(error)[:100]}): write it again.") from error


def _known(value: Any, choices: tuple[str, ...]) -> str | None:
    """The value if it is one of the choices: keys of other writers may mean something else."""
    return value if isinstance(value, str) and value in choices else None


def _tiling(content: dict[str, Any], path: Path) -> Tiling | None:
    if content.get("imageTiles") is None:
        return None
    try:
        return Tiling.read(content["imageTiles"])
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"In the info file {path}, 'imageTiles' does not say how photos were cut: import them again."
        ) from error


def _input_shape(content: dict[str, Any]) -> tuple[int, ...] | None:
    """The image shape in an info file's inputShapeString, such as "(96, 96, 3)"."""
    text = content.get("inputShapeString")
    if not isinstance(text, str):
        return None
    parts = text.strip("()[] ").split(",")
    if len(parts) > 4 or not all(part.strip().isdecimal() and len(part.strip()) < 6 for part in parts):
        return None
    return tuple(int(part) for part in parts)
