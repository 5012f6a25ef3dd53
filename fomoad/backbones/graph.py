"""A convolutional network as plain arrays: batch normalisation folded in, ready to run in float or as int8 would.

The layers of a backbone become a list of nodes (`fomoad.backbones.fold`). Two things are gained. The graph that is
exported holds nothing but convolutions, additions and activations, which is what a microcontroller runs; and the
same nodes can be run with every tensor rounded as an int8 kernel rounds it, so that a scorer can be fitted on
what the int8 network really outputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fomoad.backbones.layers import needed
from fomoad.backbones.lean_tensorflow import tf
from fomoad.data.scaling import Affine

Array = np.ndarray[Any, np.dtype[Any]]
Pads = tuple[tuple[int, int], tuple[int, int]]
Ranges = Mapping[str, tuple[float, float]]
"""The real range (lowest, highest) that each tensor's 256 int8 steps cover, by tensor name."""

INPUT = "input"
"""The name of the tensor that holds the images as the user gives them."""
NORMALISED = "normalised"
"""The name of the tensor that holds them as the weights expect them, where they are made so one by one."""
INT8_STEPS = 255
LOWEST_CODE = -128
KERNEL_STEPS = 127
MOST_BIAS_STEPS = 2.0**24
"""Biases beyond this many steps would come near the end of 32 bits, and below it nothing is lost on them."""
NO_PADS: Pads = ((0, 0), (0, 0))
_ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
}


@dataclass(frozen=True)
class Node:
    """One operation. Its output tensor carries the node's name."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Normalisation(Node):
    """Turns images of the user's scaling into those that the weights expect, channel by channel."""

    affine: Affine


@dataclass(frozen=True)
class Convolution(Node):
    """A convolution with bias and activation; depthwise where `depthwise` is set.

    `kernel` is (height, width, inputs, outputs), or (height, width, inputs, 1) for a depthwise one. `padding` is what
    its inputs are padded with, as `pads` says.
    """

    kernel: Array
    bias: Array
    strides: tuple[int, int]
    pads: Pads
    depthwise: bool
    activation: str = "linear"
    padding: float = 0.0


@dataclass(frozen=True)
class Addition(Node):
    """The sum of its two inputs, then an activation."""

    activation: str = "linear"


@dataclass(frozen=True)
class MaxPooling(Node):
    """The highest value under a window."""

    size: tuple[int, int]
    strides: tuple[int, int]
    pads: Pads


@dataclass(frozen=True)
class Network:
    """Nodes in the order in which they can be computed, and the tensors that are wanted of them.

    `input_shape` is (height, width, channels) of one image.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    input_shape: tuple[int, int, int]

    def ending_at(self, outputs: tuple[str, ...]) -> "Network":
        """The part of the network that these tensors depend on. Raises ValueError for one that it does not compute."""
        return Network(tuple(needed({node.name: node for node in self.nodes}, outputs)), outputs, self.input_shape)


def channels(network: Network) -> dict[str, int]:
    """How many channels each of the network's tensors has, by its name."""
    found = {INPUT: network.input_shape[2]}
    for node in network.nodes:
        if isinstance(node, Convolution):
            found[node.name] = len(node.bias)
        elif isinstance(node, Normalisation):
            found[node.name] = max(found[INPUT], len(node.affine.scale))
        else:
            found[node.name] = found[node.inputs[0]]
    return found


def run(network: Network, images: tf.Tensor, ranges: Ranges | None = None, every: bool = False) -> dict[str, tf.Tensor]:
    """Compute the network's outputs for `images` (N, height, width, channels) as TensorFlow operations.

    With `ranges`, kernels (per output channel) and tensors are rounded as int8 kernels round them, by
    operations that the TFLite converter turns into true int8 kernels. `every` returns all tensors, not only the
    outputs.
    """
    tensors = {INPUT: rounded(images, INPUT, ranges)}
    for node in network.nodes:
        tensors[node.name] = compute(node, tensors, ranges)
    return tensors if every else {name: tensors[name] for name in network.outputs}


def compute(node: Node, tensors: Mapping[str, tf.Tensor], ranges: Ranges | None = None) -> tf.Tensor:
    """One node's output, from a mapping that holds its inputs; rounded as `run` says where there are `ranges`."""
    inputs = [tensors[name] for name in node.inputs]
    return rounded(_compute(node, inputs, ranges), node.name, ranges)


def _compute(node: Node, inputs: list[tf.Tensor], ranges: Ranges | None) -> tf.Tensor:
    if isinstance(node, Normalisation):
        return _normalise(node, inputs[0], ranges)
    if isinstance(node, Addition):
        return _ACTIVATIONS[node.activation](inputs[0] + inputs[1])
    if isinstance(node, MaxPooling):
        padded, padding = _pad(inputs[0], node.size, node.strides, node.pads)
        return tf.nn.max_pool2d(padded, node.size, node.strides, padding)
    if isinstance(node, Convolution):
        return _convolve(node, inputs[0], ranges)
    raise TypeError(f"no way to compute a {type(node).__name__}")


def _convolve(node: Convolution, inputs: tf.Tensor, ranges: Ranges | None) -> tf.Tensor:
    value = node.padding
    kernel = tf.constant(node.kernel)
    if ranges is not None:
        value = _whole_steps(value, ranges[node.inputs[0]])
        kernel = _rounded_kernel(kernel, node, ranges[node.inputs[0]])
    padded, padding = _pad(inputs, node.kernel.shape[:2], node.strides, node.pads, value)
    if ranges is not None and padded is not inputs:
        padded = rounded(padded, node.inputs[0], ranges)
    strides = (1, *node.strides, 1)
    if node.depthwise:
        outputs = tf.nn.depthwise_conv2d(padded, kernel, strides, padding)
    else:
        outputs = tf.nn.conv2d(padded, kernel, strides, padding)
    return _ACTIVATIONS[node.activation](tf.nn.bias_add(outputs, tf.constant(node.bias)))


def _normalise(node: Normalisation, images: tf.Tensor, ranges: Ranges | None) -> tf.Tensor:
    affine = node.affine
    if affine.reversed_channels and images.shape[-1] == 3:
        images = images[..., ::-1]
    # Rounded in between as well: a tensor that is not would be float32, four times as large on the device.
    scaled = rounded(images * tf.constant(affine.scale), scaled_name(node), ranges)
    return scaled + tf.constant(affine.offset)


def scaled_name(node: Normalisation) -> str:
    """The name that the range of the images goes by when they are scaled but not shifted yet."""
    return f"{node.name}/scaled"


def _pad(
    inputs: tf.Tensor, size: tuple[int, ...], strides: tuple[int, int], pads: Pads, value: float = 0.0
) -> tuple[tf.Tensor, str]:
    """Pad with a value as `pads` says, by the operation's own padding where that is the same."""
    if pads == NO_PADS:
        return inputs, "VALID"
    if value == 0 and pads == same_pads(tuple(inputs.shape[1:3]), size, strides):
        return inputs, "SAME"
    return tf.pad(inputs, [(0, 0), *pads, (0, 0)], constant_values=value), "VALID"


def same_pads(sides: tuple[int, ...], size: tuple[int, ...], strides: tuple[int, int]) -> Pads:
    """The zeros that TensorFlow's SAME padding puts before and after each axis of an image."""
    pads = []
    for side, kernel, stride in zip(sides, size, strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


def rounded(tensor: tf.Tensor, name: str, ranges: Ranges | None) -> tf.Tensor:
    """Round a tensor to the 256 steps of its range, where it has one."""
    if ranges is None or name not in ranges:
        return tensor
    low, high = ranges[name]
    return tf.quantization.fake_quant_with_min_max_args(tensor, low, high, num_bits=8)


def _whole_steps(value: float, ends: tuple[float, float]) -> float:
    """The value rounded to a whole number of the steps of a range, from 0."""
    step = (ends[1] - ends[0]) / INT8_STEPS
    return round(value / step) * step


def _rounded_kernel(kernel: tf.Tensor, node: Convolution, input_range: tuple[float, float]) -> tf.Tensor:
    """Round each output channel's kernel to -127..127 steps of its own size."""
    highest = _kernel_range(node, input_range)
    flat = tf.reshape(kernel, (*kernel.shape[:2], -1)) if node.depthwise else kernel
    steps = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -highest, highest, num_bits=8, narrow_range=True
    )
    return tf.reshape(steps, kernel.shape) if node.depthwise else steps


def _kernel_range(node: Convolution, input_range: tuple[float, float]) -> Array:
    """The value (outputs,) that 127 steps of each output channel's kernel stand for.

    It is the channel's largest weight, except in channels whose weights have all but vanished in training:
    int8 kernels count the bias in steps of the input's times the kernel's, and it must not overflow its 32 bits.
    """
    largest = np.abs(node.kernel).max(axis=(0, 1, 3) if node.depthwise else (0, 1, 2))
    input_step = (input_range[1] - input_range[0]) / INT8_STEPS
    for_bias = KERNEL_STEPS * np.abs(node.bias) / (input_step * MOST_BIAS_STEPS)
    highest: Array = np.maximum(np.maximum(largest, for_bias), 1e-6).astype(np.float32)
    return highest
