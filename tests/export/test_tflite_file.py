"""Rewritten TFLite files compute what they computed before."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fomoad.export import tflite, tflite_file, widening
from fomoad.export.trace import Exported

IMAGES = np.random.default_rng(0).normal(size=(1, 6, 6, 16)).astype(np.float32)


def _run(content: bytes, images: Any = IMAGES) -> Any:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize(("low", "high"), [(-1.0, 4.1), (-128 / 50, 127 / 50)])
def test_codes_are_read_by_cast(low: float, high: float) -> None:
    """What divides by the scale and adds the zero point becomes the CAST that it amounts to, and nothing else does."""
    kernels = np.random.default_rng(0).normal(0, 0.3, (2, 1, 1, 16, 8)).astype(np.float32)
    factor = 255 / (high - low)
    zero = round(-128 - low * factor)

    def graph(images: tf.Tensor) -> tf.Tensor:
        rounded = tf.quantization.fake_quant_with_min_max_args(images, -3.0, 3.0)
        first, second = (
            tf.quantization.fake_quant_with_min_max_args(tf.nn.conv2d(rounded, kernel, 1, "VALID"), low, high)
            for kernel in kernels
        )
        codes, others = first * np.float32(factor), second * np.float32(factor / 2)
        if zero:
            codes, others = codes + np.float32(zero), others + np.float32(zero)
        return tf.nn.avg_pool2d(codes, 2, 2, "VALID") + tf.nn.avg_pool2d(others, 2, 2, "VALID")

    content = tflite.convert_features(Exported(graph, IMAGES.shape[1:]), rounded=True)
    rewritten = widening.read_codes_by_cast(content)
    stored = np.random.default_rng(1).integers(-128, 128, IMAGES.shape, dtype=np.int8)
    np.testing.assert_allclose(_run(rewritten, stored), _run(content, stored), atol=1e-4)
    assert [operation.name for operation in tflite_file.operations(rewritten)].count("CAST") == 1
    _all_tensors_are_used(rewritten)


def _all_tensors_are_used(content: bytes) -> None:
    """TFLite Micro would give memory to others."""
    graph = tflite_file.unpack(content).subgraphs[0]
    used = {int(i) for each in (graph, *graph.operators) for i in (*each.inputs, *each.outputs)}
    assert used - {-1} == set(range(len(graph.tensors)))
