"""The three runtimes, one loader each: a file's content to a model in this process. They trust what they read.

A runtime is imported when a file needs it.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.inference.model import Format, GridModel, TensorSpec
from fomoad.machine import processors
from fomoad.verify import saved_model

MOST_THREADS: Final = 4
"""A model of this size gains nothing from more."""


def load(file_format: Format, content: bytes, name: str) -> GridModel:
    """Load a model file's content; `name` stands for it in messages.

    Raises UserError for content that the format's runtime refuses, or that has not one input and one output.
    """
    return _LOADERS[file_format](content, name)


def load_tflite(content: bytes, name: str, batch: int = 1) -> GridModel:
    """Load a TFLite model's bytes to run `batch` images at a time. The output may be of any shape.

    Raises UserError for bytes that are no TFLite model of one input and one output.
    """
    if content[4:8] != b"TFL3":
        raise UserError(f"{name} is not a TFLite model: its content is of another kind or damaged.")
    interpreter_class = _tflite_interpreter_class()
    try:
        interpreter = interpreter_class(model_content=content, num_threads=model_threads())
        if batch > 1:
            [image] = interpreter.get_input_details()
            interpreter.resize_tensor_input(image["index"], (batch, *image["shape"][1:]))
        interpreter.allocate_tensors()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise _unreadable(name, "a TFLite model", error) from error
    _check_one_each(name, len(inputs), len(outputs))

    def run(stored: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(inputs[0]["index"], stored)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(outputs[0]["index"]))

    return GridModel("tflite", _tflite_spec(name, inputs[0]), _tflite_spec(name, outputs[0]), run)


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


def _tflite_spec(name: str, details: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(size) for size in details["shape"])
    dtype = np.dtype(details["dtype"])
    if dtype == np.float32:
        return TensorSpec(shape, "float32")
    quantization = details["quantization_parameters"]
    if dtype != np.int8 or len(quantization["scales"]) != 1:
        raise UserError(f"{name} has a tensor of type {dtype}: only float32 and int8 with one scale can be run here.")
    return TensorSpec(shape, "int8", float(quantization["scales"][0]), int(quantization["zero_points"][0]))


def _load_onnx(content: bytes, name: str) -> GridModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("An .onnx file needs ONNX Runtime: pip install 'fomoad[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = model_threads()
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise _unreadable(name, "an ONNX model", error) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _check_one_each(name, len(inputs), len(outputs))
    if {inputs[0].type, outputs[0].type} != {"tensor(float)"}:
        raise UserError(f"{name} does not take and give float32: only such ONNX models can be run here.")

    def run(stored: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(session.run([outputs[0].name], {inputs[0].name: stored})[0])

    return GridModel("onnx", _float_spec(inputs[0].shape), _float_spec(outputs[0].shape), run)


def _load_saved_model(content: bytes, name: str) -> GridModel:
    try:
        tf = _tensorflow()
    except ImportError as error:
        raise UserError("A SavedModel needs TensorFlow: pip install 'fomoad[train]', or use model.tflite.") from error
    with tempfile.TemporaryDirectory(prefix="fomoad-") as folder:
        for path, data in saved_model.read(content, name).items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        try:
            loaded = tf.saved_model.load(str(next(Path(folder).rglob(saved_model.PROGRAM)).parent))
            function = loaded.signatures["serving_default"]
        except Exception as error:  # TensorFlow raises anything from KeyError to its own error classes
            raise _unreadable(name, "a zipped SavedModel", error) from error
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    _check_one_each(name, len(inputs), len(outputs))
    [input_name], [output_name] = inputs, outputs
    if {inputs[input_name].dtype, outputs[output_name].dtype} != {tf.float32}:
        raise UserError(f"{name} does not take and give float32: only such SavedModels can be run here.")

    # `loaded` rides along because the function by itself does not keep its variables alive.
    def run(stored: NDArray[Any], _alive: Any = loaded) -> NDArray[Any]:
        return np.asarray(function(**{input_name: tf.constant(stored)})[output_name])

    return GridModel("saved_model", _spec_of(inputs[input_name].shape), _spec_of(outputs[output_name].shape), run)


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notes would drown the run's own lines
    import tensorflow

    return tensorflow


def model_threads() -> int:
    """How many threads a model is run with."""
    return min(MOST_THREADS, processors())


def _spec_of(shape: Any) -> TensorSpec:
    """From TensorFlow's shape, which may be of unknown rank."""
    return _float_spec(shape.as_list() if shape.rank else [])


def _float_spec(shape: list[Any]) -> TensorSpec:
    """From a shape with None or a name where a dimension is open; an open batch is run as a batch of 1."""
    numbers = [size if isinstance(size, int) else -1 for size in shape]
    if numbers and numbers[0] == -1:
        numbers[0] = 1
    return TensorSpec(tuple(numbers), "float32")


def _check_one_each(name: str, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise UserError(
            f"{name} has {inputs} inputs and {outputs} outputs: only models with one input and one output, a "
            "score grid, can be run here."
        )


def _unreadable(name: str, kind: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()
    return UserError(
        f"{name} cannot be read as {kind}; it may be cut off or damaged ({reason[0] if reason else error!r})."
    )


_LOADERS: Final[dict[Format, Callable[[bytes, str], GridModel]]] = {
    "tflite": load_tflite,
    "onnx": _load_onnx,
    "saved_model": _load_saved_model,
}
