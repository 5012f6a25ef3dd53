"""Rewritten TFLite files compute what they computed before."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fomoad.device import micro
from fomoad.export import tflite, tflite_file, widening
from fomoad.export.trace import Exported

IMAGES = np.random.default_rng(0).normal(size=(1, 6, 6, 16)).astype(np.float32)


def _convert(*kernels: Any) -> bytes:
    """A convolution for each kernel, of the same input, summed."""
    traced = tf.function(
        lambda images: tf.add_n([tf.nn.conv2d(images, kernel, 1, "SAME") for kernel in kernels]),
        input_signature=[tf.TensorSpec(IMAGES.shape, tf.float32)],
    )
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], traced).convert())


def _run(content: bytes, images: Any = IMAGES) -> Any:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _whole(*shape: int) -> Any:
    random = np.random.default_rng(0)
    return random.integers(-127, 128, shape).astype(np.float32)


def test_constants_of_whole_numbers_are_stored_in_a_quarter() -> None:
    """Two kernels of whole numbers (one used twice, but held once) shrink; one of other values stays."""
    random = np.random.default_rng(0)
    first, second, other = _whole(3, 3, 16, 32), _whole(1, 1, 16, 32), random.normal(size=(1, 1, 16, 32))
    content = _convert(first, second, first, other.astype(np.float32))
    narrow = widening.store_as_int8(content)
    assert len(content) - len(narrow) == pytest.approx(3 * (first.size + second.size), rel=0.1)
    np.testing.assert_allclose(_run(narrow), _run(content), rtol=1e-5, atol=1e-2)  # sums of a thousand
    constants = [t for operation in tflite_file.operations(narrow) for t in operation.inputs if t.constant]
    assert sorted(t.elements for t in constants if t.dtype == "int8") == sorted({second.size, first.size})
    assert [t.elements for t in constants if t.dtype == "float32" and t.elements > 100] == [other.size]


def test_nothing_changes_where_no_constant_is_made_of_whole() -> None:
    """Neither values between whole numbers nor values beyond 127 are touched."""
    content = _convert(_whole(3, 3, 16, 32) + np.float32(1 / 3), 2 * _whole(3, 3, 16, 32))
    narrow = widening.store_as_int8(content)
    assert [o.name for o in tflite_file.operations(narrow)] == [o.name for o in tflite_file.operations(content)]
    np.testing.assert_array_equal(_run(narrow), _run(content))


def test_small_constants_are_not_taken_for_zeros() -> None:
    """Gains of features that vary much are all nearly 0, which is a whole number."""
    small = np.float32(1e-6) * _whole(3, 3, 16, 32)
    assert np.abs(small).max() < 1e-3
    content = _convert(small)
    narrow = widening.store_as_int8(content)
    np.testing.assert_array_equal(_run(narrow), _run(content))
    assert np.ptp(_run(narrow)) > 0


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_tflite_micro_runs_it_and_widens_one_constant_at_a_time() -> None:
    from tflite_micro.python.tflite_micro import runtime

    kernels = [_whole(3, 3, 16, 64) for _ in range(5)]
    narrow = widening.store_as_int8(_convert(*kernels))
    interpreter = runtime.Interpreter.from_bytes(narrow, arena_size=2**20)
    interpreter.set_input(IMAGES, 0)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_output(0), _run(narrow), rtol=1e-4, atol=1e-3)
    arena = micro.measure(narrow, 2**20).arena_bytes
    assert arena is not None
    assert arena < micro.measure(_convert(*kernels), 2**20).arena_bytes + 1.5 * kernels[0].nbytes


def test_codes_are_read_by_cast() -> None:
    """What divides by the scale and adds the zero point becomes the CAST that it amounts to, and nothing else does."""
    kernels = np.random.default_rng(0).normal(0, 0.3, (2, 1, 1, 16, 8)).astype(np.float32)
    low, high = -1.0, 4.1
    factor = 255 / (high - low)

    def graph(images: tf.Tensor) -> tf.Tensor:
        rounded = tf.quantization.fake_quant_with_min_max_args(images, -3.0, 3.0)
        first, second = (
            tf.quantization.fake_quant_with_min_max_args(tf.nn.conv2d(rounded, kernel, 1, "VALID"), low, high)
            for kernel in kernels
        )
        codes, others = first * np.float32(factor) + np.float32(-78), second * np.float32(factor / 2)
        return tf.nn.avg_pool2d(codes, 2, 2, "VALID") + tf.nn.avg_pool2d(others, 2, 2, "VALID")

    content = tflite.convert_features(Exported(graph, IMAGES.shape[1:]), rounded=True)
    rewritten = widening.read_codes_by_cast(content)
    stored = np.random.default_rng(1).integers(-128, 128, IMAGES.shape, dtype=np.int8)
    np.testing.assert_allclose(_run(rewritten, stored), _run(content, stored), atol=1e-4)
    assert [operation.name for operation in tflite_file.operations(rewritten)].count("CAST") == 1
