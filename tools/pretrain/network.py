"""MobileNetV2 of any width up to `block_10_expand_relu` as a plain function over named arrays.

The architecture is that of Keras Applications (Sandler et al. 2018, table 2); the arrays bear Keras' variable paths,
and their shapes say how wide the network is. A function instead of a Keras model lets one block be run, and trained, on
its own, with batch or stored statistics.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.weights_file import read

Arrays = dict[str, NDArray[np.float32]]
Params = Mapping[str, tf.Tensor | tf.Variable]
Norm = Callable[[Params, tf.Tensor, str], tf.Tensor]

EPSILON = 1e-3
"""Keras' MobileNetV2 passes this to every batch normalisation."""

BLOCKS = ("expanded_conv", *(f"block_{index}" for index in range(1, 11)))
"""The last one stops after its expansion: that is the 1/16 layer the scorers read."""

LAST = len(BLOCKS) - 1
HALVED = (1, 3, 6)
"""Blocks whose depthwise convolution has a stride of 2."""

EXPANDED = ("block_3", "block_6", "block_10")
"""Blocks whose expanded features are taught, at 1/4, 1/8 and 1/16 of the image's side."""

SCORED = ARCHITECTURES["mobilenet-v2-0.35"].layers
"""What the scorers read, of any width: a depthwise convolution of the layer at 1/4, and the layers at 1/8 and 1/16."""


def shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    """The shape of every array up to the last layer, by its name, in Keras' order."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in ARCHITECTURES[backbone].plan:
        found |= {f"{layer.name}/{name}": shape for name, shape in layer.arrays().items()}
        if layer.name == f"{BLOCKS[LAST]}_expand_BN":
            break
    return found


def norm_name(layer: str) -> str:
    """The batch normalisation that follows a convolution."""
    return "bn_Conv1" if layer == "Conv1" else f"{layer}_BN"


def random_arrays(backbone: str, seed: int) -> Arrays:
    """Untrained weights: He-normal kernels, unit batch normalisation."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in shapes(backbone).items():
        layer, _, kind = name.partition("/")
        if kind == "kernel":
            fan_in = int(np.prod(shape[:2])) * (1 if layer.endswith("depthwise") else shape[2])
            arrays[name] = (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        else:
            arrays[name] = np.full(shape, kind in ("gamma", "moving_variance"), np.float32)
    return arrays


def read_weights(path: Path, backbone: str) -> Arrays:
    """Weights from an explicit file: Keras' own without the top (.h5), or one that `export.write` made (.npz)."""
    wanted = {name.partition("/")[0] for name in shapes(backbone)}
    return read(path, backbone, ARCHITECTURES[backbone].plan, wanted)


def stored_norm(params: Params, x: tf.Tensor, name: str) -> tf.Tensor:
    """Batch normalisation as at inference: by the moving statistics."""
    scale = params[f"{name}/gamma"] * tf.math.rsqrt(params[f"{name}/moving_variance"] + EPSILON)
    return x * scale + (params[f"{name}/beta"] - params[f"{name}/moving_mean"] * scale)


def batch_norm(params: Params, x: tf.Tensor, name: str) -> tf.Tensor:
    """Batch normalisation by this batch, whose statistics become the moving ones."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    params[f"{name}/moving_mean"].assign(mean)
    params[f"{name}/moving_variance"].assign(variance)
    return stored_norm(params, x, name)


def _pointwise(params: Params, x: tf.Tensor, layer: str, norm: Norm) -> tf.Tensor:
    return norm(params, tf.nn.conv2d(x, params[f"{layer}/kernel"], 1, "SAME"), norm_name(layer))


def _block(params: Params, x: tf.Tensor, index: int, norm: Norm, taps: dict[str, tf.Tensor]) -> tf.Tensor:
    block = BLOCKS[index]
    y = x
    if index > 0:
        y = tf.nn.relu6(_pointwise(params, y, f"{block}_expand", norm))
        if block in EXPANDED:
            taps[f"{block}_expand_relu"] = y
    if index == LAST:
        return y
    layer = f"{block}_depthwise"
    stride = 2 if index in HALVED else 1
    y = tf.nn.depthwise_conv2d(y, params[f"{layer}/kernel"], (1, stride, stride, 1), "SAME")
    y = tf.nn.relu6(norm(params, y, norm_name(layer)))
    if f"{layer}_relu" in SCORED:
        taps[f"{layer}_relu"] = y
    y = _pointwise(params, y, f"{block}_project", norm)
    taps[block] = x + y if x.shape[1:] == y.shape[1:] else y
    return taps[block]


def run(params: Params, x: tf.Tensor, first: int, last: int, norm: Norm) -> dict[str, tf.Tensor]:
    """Blocks `first` to `last` inclusive; their outputs by block name, expanded and scored layers by Keras' name.

    Block 0 takes images (N, side, side, 3) in -1..1 and runs the first convolution before it; a later block takes
    the output of the one before. Sides are even at every stride, where SAME pads as Keras' MobileNetV2 does.
    """
    taps: dict[str, tf.Tensor] = {}
    if first == 0:
        x = tf.nn.conv2d(x, params["Conv1/kernel"], 2, "SAME")
        x = tf.nn.relu6(norm(params, x, norm_name("Conv1")))
    for index in range(first, last + 1):
        x = _block(params, x, index, norm, taps)
    return taps


def scale_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 pixels to the -1..1 that MobileNetV2 expects."""
    return (images.astype(np.float32) / np.float32(127.5) - 1).astype(np.float32)
