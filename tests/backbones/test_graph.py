"""A folded network computes what Keras computes."""

from functools import cache

import keras
import numpy as np
import pytest

from fomoad.backbones import graph, load
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.keras_reader import read_keras
from fomoad.data import scaling


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


@cache
def model_of(name: str, height: int, width: int) -> keras.Model:
    """A Keras model of random weights and statistics."""
    model = ARCHITECTURES[name].build((height, width, 3))
    randomise_statistics(model)
    return model


KERAS_PREPROCESSING = {
    "mobilenet-v2-0.35": keras.applications.mobilenet_v2.preprocess_input,
    "resnet50": keras.applications.resnet50.preprocess_input,
}


@pytest.mark.parametrize("name", KERAS_PREPROCESSING)
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
    model = model_of(name, shape[0], shape[1])
    pixels = np.random.default_rng(1).uniform(0, 255, (2, *shape)).astype(np.float32)

    folded = load.cut(model, architecture, shape, input_scaling, layers)
    outputs = graph.run(folded, scaling.from_pixels(pixels, input_scaling))

    rgb = np.repeat(pixels, 3, axis=-1) if shape[2] == 1 else pixels.copy()
    reference = keras.Model(model.input, [model.get_layer(layer).output for layer in layers])
    for layer, expected in zip(layers, reference(KERAS_PREPROCESSING[name](rgb)), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(outputs[layer] / scale, expected / scale, atol=2e-5)


def test_only_what_the_outputs_need_is_kept() -> None:
    """A network cut at 1/8 holds none of the later layers."""
    architecture = ARCHITECTURES["mobilenet-v2-0.35"]
    model = architecture.build((96, 96, 3))
    folded = load.cut(model, architecture, (96, 96, 3), "-1..1", ("block_6_expand_relu",))
    assert [node.name for node in folded.nodes][-1] == "block_6_expand_relu"


def test_unknown_layers_are_named() -> None:
    """A layer that cannot be read or does not exist is an error that names it."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(2, 3, name="upwards")(inputs))
    constants = scaling.affine("-1..1", 3)
    with pytest.raises(ValueError, match="upwards"):
        read_keras(model, ["upwards"], constants, 3)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="convolution")(inputs))
    with pytest.raises(ValueError, match="elsewhere"):
        read_keras(model, ["elsewhere"], constants, 3)


def test_rounding_keeps_tensors_near_the_float_ones() -> None:
    """With the float tensors' own extremes as ranges, int8 rounding costs a few per cent, and not nothing."""
    architecture = ARCHITECTURES["mobilenet-v2-0.35"]
    folded = load.cut(architecture.build((96, 96, 3)), architecture, (96, 96, 3), "-1..1", ("block_3_expand_relu",))
    images = np.random.default_rng(2).uniform(-1, 1, (4, 96, 96, 3)).astype(np.float32)
    exact = graph.run(folded, images, every=True)
    ranges = {name: (min(0.0, float(np.min(t))), max(0.0, float(np.max(t)))) for name, t in exact.items()}
    rounded = graph.run(folded, images, ranges)["block_3_expand_relu"]
    error = np.linalg.norm(rounded - exact["block_3_expand_relu"]) / np.linalg.norm(exact["block_3_expand_relu"])
    assert 0 < error < 0.2
