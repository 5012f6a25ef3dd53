"""MobileNetV2 0.35 up to `block_10_expand_relu` as a plain function over named arrays.

The architecture is that of Keras Applications (Sandler et al. 2018, table 2); the arrays bear Keras' variable paths.
A function instead of a Keras model lets one block be run, and trained, on its own, with batch or stored statistics.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.weights_file import read

BACKBONE = "mobilenet-v2-0.35"
Arrays = dict[str, NDArray[np.float32]]
Params = Mapping[str, tf.Tensor | tf.Variable]
Norm = Callable[[Params, tf.Tensor, str], tf.Tensor]

EPSILON = 1e-3
"""Keras' MobileNetV2 passes this to every batch normalisation."""


class Block(NamedTuple):
    """An inverted residual: channels in, between and out, and the stride of its depthwise convolution."""

    prefix: str
    channels_in: int
    expanded: int
    channels_out: int
    stride: int


BLOCKS = (
    Block("expanded_conv", 16, 16, 8, 1),
    Block("block_1", 8, 48, 8, 2),
    Block("block_2", 8, 48, 8, 1),
    Block("block_3", 8, 48, 16, 2),
    Block("block_4", 16, 96, 16, 1),
    Block("block_5", 16, 96, 16, 1),
    Block("block_6", 16, 96, 24, 2),
    Block("block_7", 24, 144, 24, 1),
    Block("block_8", 24, 144, 24, 1),
    Block("block_9", 24, 144, 24, 1),
    Block("block_10", 24, 144, 0, 0),
)
"""The last one stops after its expansion: that is the 1/16 layer the scorers read."""

LAST = len(BLOCKS) - 1
SCORED = ("block_3", "block_6", "block_10")
"""Blocks whose expanded features the scorers read, at 1/4, 1/8 and 1/16 of the image's side."""


def layer_shapes() -> dict[str, tuple[int, ...]]:
    """Kernel shape of every convolution, by layer name, in order."""
    shapes: dict[str, tuple[int, ...]] = {"Conv1": (3, 3, 3, 16)}
    for index, block in enumerate(BLOCKS):
        if index > 0:
            shapes[f"{block.prefix}_expand"] = (1, 1, block.channels_in, block.expanded)
        if index < LAST:
            shapes[f"{block.prefix}_depthwise"] = (3, 3, block.expanded, 1)
            shapes[f"{block.prefix}_project"] = (1, 1, block.expanded, block.channels_out)
    return shapes


def norm_name(layer: str) -> str:
    """The batch normalisation that follows a convolution."""
    return "bn_Conv1" if layer == "Conv1" else f"{layer}_BN"


def random_arrays(seed: int) -> Arrays:
    """Untrained weights: He-normal kernels, unit batch normalisation."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for layer, shape in layer_shapes().items():
        fan_in = int(np.prod(shape[:2])) * (1 if layer.endswith("depthwise") else shape[2])
        arrays[f"{layer}/kernel"] = (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        channels = shape[2] if layer.endswith("depthwise") else shape[3]
        for variable, value in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
            arrays[f"{norm_name(layer)}/{variable}"] = np.full(channels, value, np.float32)
    return arrays


def teacher_arrays(weights: Path) -> Arrays:
    """The ImageNet weights of Keras' own MobileNetV2 0.35, read from an explicit `no_top` file."""
    wanted = {name.partition("/")[0] for name in random_arrays(0)}
    return read(weights, BACKBONE, ARCHITECTURES[BACKBONE].plan, wanted)


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
        y = tf.nn.relu6(_pointwise(params, y, f"{block.prefix}_expand", norm))
        if block.prefix in SCORED:
            taps[f"{block.prefix}_expand_relu"] = y
    if index == LAST:
        return y
    layer = f"{block.prefix}_depthwise"
    strides = (1, block.stride, block.stride, 1)
    y = tf.nn.depthwise_conv2d(y, params[f"{layer}/kernel"], strides, "SAME")
    y = tf.nn.relu6(norm(params, y, norm_name(layer)))
    y = _pointwise(params, y, f"{block.prefix}_project", norm)
    residual = block.stride == 1 and block.channels_in == block.channels_out
    taps[block.prefix] = x + y if residual else y
    return taps[block.prefix]


def run(params: Params, x: tf.Tensor, first: int, last: int, norm: Norm) -> dict[str, tf.Tensor]:
    """Blocks `first` to `last` inclusive; their outputs by block name and the scored layers by Keras' name.

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
