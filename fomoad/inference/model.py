"""Any model file as one function: images in, score grids out.

`fomoad predict` starts here, so this module imports NumPy only; a runtime is imported when a file needs it.
"""

import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fomoad.errors import UserError

Run = Callable[[NDArray[Any]], NDArray[Any]]
"""Images (N, H, W, C) to grids (N, rows, columns), both in the model's stored types; N is mostly 1."""

Format = Literal["tflite", "onnx", "saved_model"]

MOST_THREADS = 4
"""A model of this size gains nothing from more."""


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
        """Real values to stored ones, rounded to the nearest and saturated."""
        if self.scale is None:
            return values
        stored = np.round(values / np.float32(self.scale)) + (self.zero_point or 0)
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
        self._run = run

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
            grids[start : start + size] = self.output.decode(self._run(self.input.encode(some)))[: size - missing]
        return grids


def load_model(path: str | Path) -> GridModel:
    """Load a .tflite, .onnx or zipped SavedModel file.

    Raises UserError for a file that is missing, broken, of another kind, or no model of
    [1, height, width, channels] to [1, rows, columns].
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no model file {path}: give the path of a .tflite, .onnx or saved_model.zip file.")
    loader = _LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UserError(f"{path} is no model file that can be run here: give a .tflite, .onnx or saved_model.zip file.")
    model = loader(path)
    _check_shapes(path, model)
    return model


def _load_tflite(path: Path) -> GridModel:
    return load_tflite(path.read_bytes(), path)


def load_tflite(content: bytes, path: Path, batch: int = 1) -> GridModel:
    """Load a TFLite model's bytes to run `batch` images at a time; `path` names it in messages.

    The output may be of any shape.

    Raises UserError for bytes that are no TFLite model of one input and one output.
    """
    if content[4:8] != b"TFL3":
        raise UserError(f"{path} is not a TFLite model: its content is of another kind or damaged.")
    interpreter_class = _tflite_interpreter_class()
    try:
        interpreter = interpreter_class(model_content=content, num_threads=_threads())
        if batch > 1:
            [image] = interpreter.get_input_details()
            interpreter.resize_tensor_input(image["index"], (batch, *image["shape"][1:]))
        interpreter.allocate_tensors()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise _unreadable(path, "a TFLite model", error) from error
    _check_one_each(path, len(inputs), len(outputs))

    def run(stored: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(inputs[0]["index"], stored)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(outputs[0]["index"]))

    return GridModel("tflite", _tflite_spec(path, inputs[0]), _tflite_spec(path, outputs[0]), run)


def _tflite_interpreter_class() -> Any:
    """LiteRT's interpreter, or TensorFlow's where LiteRT is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            return _tensorflow().lite.Interpreter
        except ImportError as error:
            raise UserError("A .tflite file needs a TFLite runtime: pip install ai-edge-litert.") from error
    return Interpreter


def _tflite_spec(path: Path, details: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(size) for size in details["shape"])
    dtype = np.dtype(details["dtype"])
    if dtype == np.float32:
        return TensorSpec(shape, "float32")
    quantization = details["quantization_parameters"]
    if dtype != np.int8 or len(quantization["scales"]) != 1:
        raise UserError(f"{path} has a tensor of type {dtype}: only float32 and int8 with one scale can be run here.")
    return TensorSpec(shape, "int8", float(quantization["scales"][0]), int(quantization["zero_points"][0]))


def _load_onnx(path: Path) -> GridModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("An .onnx file needs ONNX Runtime: pip install onnxruntime.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise _unreadable(path, "an ONNX model", error) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _check_one_each(path, len(inputs), len(outputs))
    if {inputs[0].type, outputs[0].type} != {"tensor(float)"}:
        raise UserError(f"{path} does not take and give float32: only such ONNX models can be run here.")

    def run(stored: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(session.run([outputs[0].name], {inputs[0].name: stored})[0])

    return GridModel("onnx", _float_spec(inputs[0].shape), _float_spec(outputs[0].shape), run)


def _load_saved_model(path: Path) -> GridModel:
    with tempfile.TemporaryDirectory(prefix="fomoad-") as folder:
        unpacked = _unzip(path, Path(folder))
        try:
            tf = _tensorflow()
        except ImportError as error:
            raise UserError("A SavedModel needs TensorFlow: pip install it, or use model.tflite.") from error
        try:
            loaded = tf.saved_model.load(str(unpacked))
            function = loaded.signatures["serving_default"]
        except Exception as error:  # TensorFlow raises anything from KeyError to its own error classes
            raise _unreadable(path, "a zipped SavedModel", error) from error
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    _check_one_each(path, len(inputs), len(outputs))
    [input_name], [output_name] = inputs, outputs
    if {inputs[input_name].dtype, outputs[output_name].dtype} != {tf.float32}:
        raise UserError(f"{path} does not take and give float32: only such SavedModels can be run here.")

    # `loaded` rides along because the function by itself does not keep its variables alive.
    def run(stored: NDArray[Any], _alive: Any = loaded) -> NDArray[Any]:
        return np.asarray(function(**{input_name: tf.constant(stored)})[output_name])

    input_spec = _float_spec(inputs[input_name].shape.as_list())
    output_shape = outputs[output_name].shape
    return GridModel("saved_model", input_spec, _float_spec(output_shape.as_list() if output_shape.rank else []), run)


def _unzip(path: Path, folder: Path) -> Path:
    """Unpack an archive that holds one SavedModel; returns the folder with saved_model.pb."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in archive.namelist()):
                raise UserError(f"{path} holds paths that lead out of its own folder, so it is not unpacked.")
            archive.extractall(folder)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(path, "a zip archive", error) from error
    found = sorted(folder.rglob("saved_model.pb"))
    if not found:
        raise UserError(f"{path} holds no SavedModel (no saved_model.pb in it): give the file that training wrote.")
    return found[0].parent


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notes would drown the run's own lines
    import tensorflow

    return tensorflow


def _threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_THREADS, available)


def _float_spec(shape: list[Any]) -> TensorSpec:
    """From a shape with None or a name where a dimension is open; an open batch is run as a batch of 1."""
    numbers = [size if isinstance(size, int) else -1 for size in shape]
    if numbers and numbers[0] == -1:
        numbers[0] = 1
    return TensorSpec(tuple(numbers), "float32")


def _check_one_each(path: Path, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise UserError(
            f"{path} has {inputs} inputs and {outputs} outputs: only models with one input and one output, a "
            "score grid, can be run here."
        )


def _check_shapes(path: Path, model: GridModel) -> None:
    for tensor, rank in ((model.input, 4), (model.output, 3)):
        if len(tensor.shape) != rank or tensor.shape[0] != 1 or min(tensor.shape) < 1:
            found = f"{list(model.input.shape)} to {list(model.output.shape)}"
            raise UserError(
                f"{path} is no anomaly model: it maps {found}, where [1, height, width, channels] to "
                "[1, rows, columns] is needed."
            )


def _unreadable(path: Path, kind: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()
    return UserError(
        f"{path} cannot be read as {kind}; it may be cut off or damaged ({reason[0] if reason else error!r})."
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


_LOADERS: dict[str, Callable[[Path], GridModel]] = {
    ".tflite": _load_tflite,
    ".onnx": _load_onnx,
    ".zip": _load_saved_model,
}
