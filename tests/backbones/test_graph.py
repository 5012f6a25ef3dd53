"""A folded network computes what Keras computes."""

from functools import cache

import keras
import numpy as np
import pytest

from fomoad.backbones import graph, load
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.fold import fold
from fomoad.backbones.layers import Activation, BatchNorm, Conv, Layer
from fomoad.data import scaling
from tests.support.backbones import network


def randomise_statistics(model: keras.Model) -> None:
    """Fresh batch normalisation is nearly the identity; give it statistics that a wrong fold would show."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(random.uniform(0.5, 1.5, shape))
            layer.beta.assign(random.normal(0, 0.3, shape))
            layer.moving_mean.assign(random.normal(0, 0.3, shape))
            layer.moving_variance.assign(random.uniform(0.3, 2, shape))


def _mobilenet(shape: tuple[int, int, int]) -> keras.Model:
    return keras.applications.MobileNetV2(shape, alpha=0.35, include_top=False, weights=None)


def _resnet(shape: tuple[int, int, int]) -> keras.Model:
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)


KERAS = {
    "mobilenet-v2-0.35": (_mobilenet, keras.applications.mobilenet_v2.preprocess_input),
    "resnet50": (_resnet, keras.applications.resnet50.preprocess_input),
}


@cache
def model_of(name: str, height: int, width: int) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A Keras model of random weights and statistics, up to the layers that are used, and its arrays."""
    whole = KERAS[name][0]((height, width, 3))
    randomise_statistics(whole)
    model = keras.Model(whole.input, [whole.get_layer(layer).output for layer in ARCHITECTURES[name].layers])
    return model, {variable.path: np.asarray(variable) for layer in whole.layers for variable in layer.weights}


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize(
    ("shape", "input_scaling"),
    [
        ((96, 96, 3), "-1..1"),
        ((96, 96, 3), "bgr-subtract-imagenet-mean"),
        ((75, 93, 3), "torch"),
        ((75, 93, 1), "-1..1"),
        ((96, 96, 3), "0..1"),
        ((75, 93, 1), "-128..127"),
        ((75, 93, 3), "0..255"),
        ((96, 96, 1), "torch"),
    ],
)
def test_folded_network_agrees_with_keras(name: str, shape: tuple[int, int, int], input_scaling: str) -> None:
    """Every size, scaling and channel count gives Keras' own outputs for the same pixels."""
    architecture = ARCHITECTURES[name]
    layers = architecture.layers
    model, arrays = model_of(name, shape[0], shape[1])
    pixels = np.random.default_rng(1).uniform(0, 255, (2, *shape)).astype(np.float32)

    folded = load.folded(architecture, arrays, shape, input_scaling, layers)
    outputs = graph.run(folded, scaling.from_pixels(pixels, input_scaling))

    rgb = np.repeat(pixels, 3, axis=-1) if shape[2] == 1 else pixels.copy()
    for layer, expected in zip(layers, model(KERAS[name][1](rgb)), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(outputs[layer] / scale, expected / scale, atol=2e-5)


def test_only_what_the_outputs_need_is_kept() -> None:
    """A network cut at 1/8 holds none of the later layers."""
    folded = network(("block_6_expand_relu",), (96, 96, 3))
    assert [node.name for node in folded.nodes][-1] == "block_6_expand_relu"


def test_what_cannot_be_folded_is_named() -> None:
    """A layer that has nothing to be folded into, or does not exist, is an error that names it."""
    constants, shape = scaling.affine("-1..1", 3), (8, 8, 3)
    convolution = Conv("convolution", (), (3, 3, 3, 2))
    arrays = {"convolution/kernel": np.zeros((3, 3, 3, 2), np.float32)}
    with pytest.raises(ValueError, match="elsewhere"):
        fold([convolution], arrays, ("elsewhere",), constants, shape)
    with pytest.raises(ValueError, match="upwards"):
        fold([convolution, Layer("upwards", ("convolution",))], arrays, ("upwards",), constants, shape)
    late = [convolution, Activation("relu", ("convolution",), "relu"), BatchNorm("late", ("relu",), 2, 1e-3)]
    with pytest.raises(ValueError, match="late"):
        fold(late, arrays, ("late",), constants, shape)


def test_rounding_keeps_tensors_near_the_float_ones() -> None:
    """With the float tensors' own extremes as ranges, int8 rounding costs a few per cent, and not nothing."""
    folded = network(("block_3_expand_relu",), (96, 96, 3))
    images = np.random.default_rng(2).uniform(-1, 1, (4, 96, 96, 3)).astype(np.float32)
    exact = graph.run(folded, images, every=True)
    ranges = {name: (min(0.0, float(np.min(t))), max(0.0, float(np.max(t)))) for name, t in exact.items()}
    rounded = graph.run(folded, images, ranges)["block_3_expand_relu"]
    error = np.linalg.norm(rounded - exact["block_3_expand_relu"]) / np.linalg.norm(exact["block_3_expand_relu"])
    assert 0 < error < 0.2
