"""Any model file as one function: images in, score grids out.

`fomoad predict` starts here, so this module imports NumPy only. A file that nobody vouches for is checked, and then run
in a process of its own: a runtime trusts what it reads, and some files crash it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fomoad.errors import UserError

Run = Callable[[NDArray[Any]], NDArray[Any]]
"""Images (N, H, W, C) to grids (N, rows, columns), both in the model's stored types; N is mostly 1."""

Format = Literal["tflite", "onnx", "saved_model"]
FORMATS: Final[dict[str, Format]] = {".tflite": "tflite", ".onnx": "onnx", ".zip": "saved_model"}
"""By the ends of file names."""

MOST_BYTES: Final = 2**31
"""No model file may be larger: formats and runtimes count bytes in 31 bits."""


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output; the fields are those of `fomoad.metadata.TensorInfo`.

    real value = scale * (stored value - zero_point) for int8, the stored value itself for float32.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def encode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Real values to stored ones, rounded to the nearest and saturated; halves away from 0, as C rounds."""
        if self.scale is None:
            return values
        steps = values / np.float32(self.scale)
        whole = np.trunc(steps)
        stored = whole + np.sign(steps) * (np.abs(steps - whole) >= 0.5) + (self.zero_point or 0)
        saturated: NDArray[np.int8] = np.clip(stored, -128, 127).astype(np.int8)
        return saturated

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Stored values to real ones."""
        if self.scale is None:
            return stored.astype(np.float32, copy=False)
        return np.float32(self.scale) * (stored.astype(np.float32) - np.float32(self.zero_point or 0))


class GridModel:
    """A loaded model file: `score(images)` gives a grid of anomaly scores per image."""

    def __init__(self, file_format: Format, input_spec: TensorSpec, output_spec: TensorSpec, run: Run) -> None:
        self.format = file_format
        self.input = input_spec
        self.output = output_spec
        self.run = run

    def score(self, images: ArrayLike) -> NDArray[np.float32]:
        """Score images, as many at a time as the model takes: one, unless it was loaded for more.

        images: (N, height, width, channels), scaled as in training; any real dtype.
        Returns (N, rows, columns) float32. Raises UserError where the images do not fit the model.
        """
        batch = np.asarray(images)
        if batch.shape[1:] != self.input.shape[1:]:
            raise UserError(
                f"The model takes images of {_times(self.input.shape[1:])} (height x width x channels) but "
                f"these are {_times(batch.shape[1:])}: use data of the size the model was trained with."
            )
        grids = np.empty((len(batch), *self.output.shape[1:]), np.float32)
        size = self.input.shape[0]
        for start in range(0, len(batch), size):
            some = batch[start : start + size].astype(np.float32, copy=False)
            missing = size - len(some)
            if missing:
                some = np.pad(some, ((0, missing), (0, 0), (0, 0), (0, 0)))
            grids[start : start + size] = self.output.decode(self.run(self.input.encode(some)))[: size - missing]
        return grids


def load_model(path: str | Path, trust: bool = False) -> GridModel:
    """Load a .tflite, .onnx or zipped SavedModel file.

    With `trust` nothing is checked, and the file runs in this process: it may do there what it likes.

    Raises UserError for a file that is missing, broken, of another kind, contains what fomoad never writes, or is no
    model of [1, height, width, channels] to [1, rows, columns].
    """
    path = Path(path)
    file_format = FORMATS.get(path.suffix.lower())
    if path.exists() and file_format is None:
        raise UserError(f"{path} is not a model file that can run here: give a .tflite, .onnx or saved_model.zip file.")
    content = read_file(path)
    assert file_format is not None
    if trust:
        from fomoad.inference import runtimes

        model = runtimes.load(file_format, content, str(path))
    else:
        from fomoad.inference import worker

        check(file_format, content, str(path))
        model = worker.load(file_format, content, str(path))
    _check_shapes(path, model)
    return model


def read_file(path: Path) -> bytes:
    """The content of a model file. Raises UserError where it is missing, no plain file, too large or unreadable."""
    if not path.is_file():
        raise UserError(f"There is no model file {path}: give the path of a .tflite, .onnx or saved_model.zip file.")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{path} is no model: its {size / 2**30:.1f} GiB are more than a model file may have.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The model file {path} cannot be read ({error.strerror}): allow that.") from error


def check(file_format: Format, content: bytes, name: str) -> None:
    """Check that a model file is sound and contains only what fomoad writes; `name` stands for it in messages.

    Raises UserError where it does not.
    """
    from fomoad.verify import onnx, saved_model, tflite

    if file_format == "tflite":
        tflite.check_structure(content, name)
        tflite.check_operations(content, name)
    else:
        {"onnx": onnx, "saved_model": saved_model}[file_format].check(content, name)


def _check_shapes(path: Path, model: GridModel) -> None:
    for tensor, rank in ((model.input, 4), (model.output, 3)):
        if len(tensor.shape) != rank or tensor.shape[0] != 1 or min(tensor.shape) < 1:
            found = f"{list(model.input.shape)} to {list(model.output.shape)}"
            raise UserError(
                f"{path} is not an anomaly model: it maps {found}, where [1, height, width, channels] to "
                "[1, rows, columns] is needed."
            )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
