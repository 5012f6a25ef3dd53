"""Rewritten TFLite files compute what they computed before."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fomoad.device import micro
from fomoad.export import tflite_file

STEP = 0.037
IMAGES = np.random.default_rng(0).normal(size=(1, 6, 6, 16)).astype(np.float32)


def _convert(*kernels: Any) -> bytes:
    """A convolution for each kernel, of the same input, summed."""
    traced = tf.function(
        lambda images: tf.add_n([tf.nn.conv2d(images, kernel, 1, "SAME") for kernel in kernels]),
        input_signature=[tf.TensorSpec(IMAGES.shape, tf.float32)],
    )
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], traced).convert())


def _run(content: bytes) -> Any:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], IMAGES)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _steps(*shape: int) -> Any:
    random = np.random.default_rng(0)
    return (random.integers(-127, 128, shape) * STEP).astype(np.float32)


def test_constants_of_whole_steps_are_stored_in_a_quarter() -> None:
    """Two kernels of steps (one used twice, so that the file holds it once) shrink; one of other values stays."""
    random = np.random.default_rng(0)
    first, second, other = _steps(3, 3, 16, 32), _steps(1, 1, 16, 32), random.normal(size=(1, 1, 16, 32))
    content = _convert(first, second, first, other.astype(np.float32))
    narrow = tflite_file.store_as_int8(content, STEP)
    assert len(content) - len(narrow) == pytest.approx(3 * (first.size + second.size), rel=0.1)
    np.testing.assert_allclose(_run(narrow), _run(content), rtol=1e-5, atol=1e-4)
    constants = [t for operation in tflite_file.operations(narrow) for t in operation.inputs if t.constant]
    assert sorted(t.elements for t in constants if t.dtype == "int8") == sorted({second.size, first.size})
    assert [t.elements for t in constants if t.dtype == "float32" and t.elements > 100] == [other.size]


def test_nothing_changes_where_no_constant_is_made_of_steps() -> None:
    """Neither values between steps nor values beyond 127 of them are touched."""
    content = _convert(_steps(3, 3, 16, 32) + STEP / 3, 2 * _steps(3, 3, 16, 32))
    narrow = tflite_file.store_as_int8(content, STEP)
    assert [o.name for o in tflite_file.operations(narrow)] == [o.name for o in tflite_file.operations(content)]
    np.testing.assert_array_equal(_run(narrow), _run(content))


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_tflite_micro_runs_it_and_widens_one_constant_at_a_time() -> None:
    from tflite_micro.python.tflite_micro import runtime

    kernels = [_steps(3, 3, 16, 64) for _ in range(5)]
    narrow = tflite_file.store_as_int8(_convert(*kernels), STEP)
    interpreter = runtime.Interpreter.from_bytes(narrow, arena_size=2**20)
    interpreter.set_input(IMAGES, 0)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_output(0), _run(narrow), rtol=1e-4, atol=1e-3)
    arena = micro.measure(narrow, 2**20).arena_bytes
    assert arena is not None
    assert arena < micro.measure(_convert(*kernels), 2**20).arena_bytes + 1.5 * kernels[0].nbytes
