"""Rounded networks, held against the int8 kernels of LiteRT and TFLite Micro."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from fomoad.backbones import graph, load
from fomoad.backbones.graph import INPUT, Network
from fomoad.backbones.weights import Weights
from fomoad.data import scaling
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.device import micro
from fomoad.export import tflite, tflite_file
from fomoad.export.trace import Exported
from fomoad.features import extractor
from fomoad.features.pooling import Features, Pooling
from fomoad.inference.model import TensorSpec
from fomoad.quantization import calibration
from tests.support.kernels import LAYER, blocky_images, chain, convolution, mobilenet, on_litert, on_micro, on_reference

CODES = scaling.int8_range(DEFAULT_SCALING, 3)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """The converter writes to the error stream below Python."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    yield
    os.dup2(saved, 2)


def _one_convolution(kernel: Any, bias: Any, side: int = 8) -> Network:
    return chain(convolution("convolution", INPUT, kernel, bias), side=side)


def _to_tflite(rounded: Network, ranges: graph.Ranges) -> bytes:
    return tflite.convert_int8(
        Exported(lambda images: graph.run(rounded, images, ranges)[rounded.outputs[0]], rounded.input_shape)
    )


def _stored(content: bytes, images: Any) -> tuple[Any, float, int]:
    """int8 inputs (N, ...) and the output's scale and zero point."""
    interpreter = Interpreter(model_content=content)
    scale, zero = interpreter.get_input_details()[0]["quantization"]
    stored = TensorSpec((), "int8", scale, zero).encode(images)
    return stored, *interpreter.get_output_details()[0]["quantization"]


def test_a_channel_without_weights_keeps_its_bias() -> None:
    """Folded batch normalisation leaves channels of vanishing weights; their biases once overflowed 32 bits."""
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.5, (1, 1, 3, 4)).astype(np.float32)
    kernel[..., 1] = 1e-20
    kernel[..., 2] = 1e-7
    bias = np.array([0.5, 3.0, -2.0, 1.0], np.float32)
    rounded = _one_convolution(kernel, bias)
    images = random.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    ranges = {INPUT: (-1.0, 1.0), "convolution": (-4.0, 4.0)}
    content = _to_tflite(rounded, ranges)
    stored, scale, zero = _stored(content, images)
    outputs = (on_litert(content, stored) - zero) * scale
    np.testing.assert_allclose(outputs, images @ kernel[0, 0] + bias, atol=3 * scale)
    np.testing.assert_allclose(outputs[..., 1], 3.0, atol=scale)


def test_int8_kernels_compute_what_the_simulation_says() -> None:
    """For a whole backbone; single values differ by the kernels' own rounding, which later layers carry on."""
    exact, images = mobilenet(), blocky_images(12)
    ranges = calibration.calibrate(exact, images, CODES)
    rounded = calibration.correct_biases(exact, ranges, images)
    content = _to_tflite(rounded, ranges)
    stored, scale, zero = _stored(content, images)
    kernels = (on_litert(content, stored) - zero) * scale
    simulated = graph.run(rounded, images, ranges)[LAYER].numpy()
    difference = np.linalg.norm(kernels - simulated) / np.linalg.norm(simulated - simulated.mean(axis=(0, 1, 2)))
    assert difference < 0.15
    assert np.abs(kernels - simulated).mean() < 2 * scale


@pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")
def test_tflite_micro_agrees_with_the_reference_kernels_to_the_bit() -> None:
    exact, images = mobilenet(), blocky_images(3)
    ranges = calibration.calibrate(exact, images, CODES)
    content = _to_tflite(exact, ranges)
    stored, _, _ = _stored(content, images)
    np.testing.assert_array_equal(on_micro(content, stored), on_reference(content, stored))


@pytest.mark.parametrize("input_scaling", scaling.SCALINGS)
@pytest.mark.parametrize("channels", scaling.CHANNEL_COUNTS)
def test_every_scaling_gives_integers_only(input_scaling: str, channels: int) -> None:
    """From the input to the last convolution nothing is float32, and the input's range is the scaling's."""
    shape = (32, 32, channels)
    exact, images = mobilenet(shape, input_scaling), blocky_images(4, shape, input_scaling)
    low, high = scaling.int8_range(input_scaling, channels)
    ranges = calibration.calibrate(exact, images, (low, high))
    content = _to_tflite(exact, ranges)
    types = {tensor.dtype for operation in tflite_file.operations(content) for tensor in operation.outputs}
    assert types == {"int8"}
    scale, zero = Interpreter(model_content=content).get_input_details()[0]["quantization"]
    assert scale == np.float32((high - low) / 255)
    assert zero == round(-128 - low / scale)
    values = scaling.from_pixels(np.arange(256)[:, None].repeat(channels, axis=1), input_scaling)
    np.testing.assert_array_equal(
        TensorSpec((), "int8", scale, zero).encode(values),
        np.clip(np.rint(values / np.float32(scale)) + zero, -128, 127),
    )


def test_the_default_scaling_costs_no_operation_on_the_image() -> None:
    """The first convolution reads a camera's bytes less 128, and around the image the byte nearest to mid grey."""
    exact, images = mobilenet((33, 40, 3)), blocky_images(4, (33, 40, 3))
    content = _to_tflite(exact, calibration.calibrate(exact, images, CODES))
    assert Interpreter(model_content=content).get_input_details()[0]["quantization"] == (np.float32(1 / 255), -128)
    names = [operation.name for operation in tflite_file.operations(content)]
    assert names[:2] == ["PADV2", "CONV_2D"]
    assert not {"MUL", "ADD", "SUB", "QUANTIZE"} & set(names[:3])


def test_calibration_takes_percentiles() -> None:
    """One value in a million does not stretch the range; the range of the bulk is kept."""
    random = np.random.default_rng(0)
    kernel = np.eye(3, dtype=np.float32)[None, None]
    exact = _one_convolution(kernel, np.zeros(3, np.float32), side=64)
    images = random.uniform(-0.5, 1, (20, 64, 64, 3)).astype(np.float32)
    images[3, 4, 5, 0] = 50.0
    low, high = calibration.calibrate(exact, images, (-1.0, 1.0))["convolution"]
    assert (low, high) == pytest.approx((-0.5, 1.0), abs=0.01)


def test_corrected_biases_keep_every_mean() -> None:
    """On the images that biases were corrected on, rounding shifts no channel of a linear layer."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(1, 1, 3, 16)).astype(np.float32)
    exact = _one_convolution(kernel, np.zeros(16, np.float32))
    images = (0.7 + random.normal(0, 0.01, (8, 8, 8, 3))).astype(np.float32)
    ranges = {INPUT: (-1.0, 1.0)}

    def shifts(rounded: Network) -> Any:
        given = graph.run(rounded, images, ranges)["convolution"]
        return np.abs(tf.reduce_mean(given, axis=(0, 1, 2)) - (images @ kernel[0, 0]).mean(axis=(0, 1, 2)))

    assert shifts(exact).max() > 1e-3
    assert shifts(calibration.correct_biases(exact, ranges, images)).max() < 1e-5


def test_trained_weights_keep_their_features(shared: Path) -> None:
    """With trained weights, vanished channels included, corrected int8 features are close to the float ones."""
    weights = shared / "weights/keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.h5"
    exact = load.load(
        "mobilenet-v2-0.35", Weights("test", weights, "mobilenet-v2-0.35"), (96, 96, 3), DEFAULT_SCALING, (LAYER,)
    )
    images = blocky_images(8, (96, 96, 3))
    ranges = calibration.calibrate(exact, images, CODES)
    plain = calibration.errors(exact, exact, ranges, images)[LAYER]
    corrected = calibration.errors(exact, calibration.correct_biases(exact, ranges, images), ranges, images)[LAYER]
    assert corrected < 0.9 * plain
    assert corrected < 0.25


def test_pooled_features_are_not_rounded_again() -> None:
    """The int8 model's features are the means of the values that its last convolution gives, in float32."""
    exact, images = mobilenet(), blocky_images(4)
    ranges = calibration.calibrate(exact, images, CODES)
    plain, pooled = (Features(exact, LAYER, Pooling(size, size)) for size in (1, 2))
    exported = Exported(lambda image: pooled.graph(image, ranges), exact.input_shape)
    content = tflite.convert_features(exported, rounded=True)
    pooling = [each for each in tflite_file.operations(content) if each.name == "AVERAGE_POOL_2D"]
    assert [each.outputs[0].dtype for each in pooling] == ["float32"]
    features = extractor.extractor(plain, ranges)(images)
    count, rows, columns, channels = features.shape
    expected = features.reshape(count, rows // 2, 2, columns // 2, 2, channels).mean(axis=(2, 4))
    np.testing.assert_allclose(extractor.extractor(pooled, ranges)(images), expected, atol=1e-5)
