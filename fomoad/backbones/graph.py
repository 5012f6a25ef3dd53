"""A convolutional network as plain arrays: batch normalisation folded in, ready to run in float or as int8 would.

Keras models are read once, layer by layer, into a list of nodes. Two things are gained. The graph that is
exported holds nothing but convolutions, additions and activations, which is what a microcontroller runs; and the
same nodes can be run with every tensor rounded as an int8 kernel rounds it, so that a scorer can be fitted on
what the int8 network really outputs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

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


def fold(model: Any, outputs: Iterable[str], affine: Affine, channels: int) -> Network:
    """Read a Keras model up to the layers `outputs` into a network whose input has `channels` channels.

    `model` was built for a fixed (height, width, 3). For one channel the network computes what the model would
    give for the grey image repeated three times: exactly, by summing the first kernel over its inputs where all
    channels are normalised alike, else by making the three normalised channels of the one.

    Where all channels are normalised alike, the convolutions that read the images do that on their way, so that
    nothing is computed, or rounded, before them.

    Raises ValueError for a layer that this reader does not know, or an output that is no layer's.
    """
    wanted = tuple(outputs)
    height, width = model.input_shape[1:3]
    reader = _KerasReader(model)
    alike = _uniform(affine)
    source = INPUT if alike else NORMALISED
    folded: list[Node] = [] if alike else [Normalisation(NORMALISED, (INPUT,), affine)]
    for node in _needed(reader.nodes, wanted):
        first = reader.input in node.inputs
        node = replace(node, inputs=tuple(source if name == reader.input else name for name in node.inputs))
        if first and alike:
            node = _normalising(node, affine, summed=channels == 1)
        folded.append(node)
    return Network(tuple(folded), wanted, (height, width, channels))


def _normalising(node: Node, affine: Affine, summed: bool) -> Convolution:
    """The convolution of images that first are normalised, each channel alike; of grey ones where it is `summed`.

    Zeros around the normalised image are the value around the image itself that is normalised to zero.
    """
    if not isinstance(node, Convolution) or node.depthwise:
        raise ValueError(f"the layer {node.name!r} reads the images, but is no convolution over all of their channels")
    scale, offset = float(affine.scale[0]), float(affine.offset[0])
    kernel = node.kernel.astype(np.float64)
    return replace(
        node,
        kernel=(scale * (kernel.sum(axis=2, keepdims=True) if summed else kernel)).astype(np.float32),
        bias=(node.bias + offset * kernel.sum(axis=(0, 1, 2))).astype(np.float32),
        padding=-offset / scale,
    )


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


def _uniform(affine: Affine) -> bool:
    return bool(np.ptp(affine.scale) == 0 and np.ptp(affine.offset) == 0 and not affine.reversed_channels)


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


def _needed(nodes: Mapping[str, Node], outputs: tuple[str, ...]) -> list[Node]:
    """The nodes that the outputs depend on, in order."""
    for name in outputs:
        if name not in nodes:
            raise ValueError(f"the model has no layer {name!r} whose output could be taken")
    needed = set(outputs)
    for name, node in reversed(list(nodes.items())):
        if name in needed:
            needed.update(node.inputs)
    return [node for name, node in nodes.items() if name in needed]


class _KerasReader:
    """Walks a functional Keras model's layers in order and collects nodes.

    A layer that only refines the node before it (batch normalisation, activation) replaces that node by one
    with the layer's name; zero padding waits for the layer that uses it.
    """

    def __init__(self, model: Any) -> None:
        self.nodes: dict[str, Node] = {}
        self.input: str = model.inputs[0]._keras_history.operation.name
        self._alias: dict[str, str] = {self.input: self.input}
        self._pads: dict[str, Pads] = {}
        for layer in model.layers:
            kind = type(layer).__name__
            if kind == "InputLayer":
                continue
            inputs = tuple(self._alias[name] for name in _input_names(layer))
            read = getattr(self, f"_read_{kind}", None)
            if read is None:
                raise ValueError(f"no way to read the layer {layer.name!r} of kind {kind}")
            read(layer, inputs)

    def _add(self, node: Node) -> None:
        self.nodes[node.name] = node
        self._alias[node.name] = node.name

    def _refine(self, before: str, layer: Any, **changes: Any) -> None:
        node = self.nodes.pop(before)
        self._add(replace(node, name=layer.name, **changes))

    def _read_ZeroPadding2D(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        self._alias[layer.name] = layer.name
        self._pads[layer.name] = tuple(tuple(pair) for pair in layer.padding)  # type: ignore[assignment]
        self.nodes[layer.name] = Node(layer.name, inputs)

    def _take_pads(self, layer: Any, inputs: tuple[str, ...], size: tuple[int, int]) -> tuple[tuple[str, ...], Pads]:
        if inputs[0] in self._pads:
            return self.nodes[inputs[0]].inputs, self._pads[inputs[0]]
        if layer.padding == "valid":
            return inputs, NO_PADS
        return inputs, same_pads(tuple(layer.input.shape[1:3]), size, layer.strides)

    def _read_Conv2D(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        if layer.groups != 1 or layer.dilation_rate != (1, 1):
            raise ValueError(f"the convolution {layer.name!r} is grouped or dilated")
        self._convolution(layer, inputs, np.asarray(layer.kernel), depthwise=False)

    def _read_DepthwiseConv2D(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        self._convolution(layer, inputs, np.asarray(layer.kernel), depthwise=True)

    def _convolution(self, layer: Any, inputs: tuple[str, ...], kernel: Array, depthwise: bool) -> None:
        inputs, pads = self._take_pads(layer, inputs, kernel.shape[:2])
        channels = kernel.shape[2] if depthwise else kernel.shape[3]
        bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(channels, np.float32)
        self._add(
            Convolution(
                layer.name, inputs, kernel, bias, tuple(layer.strides), pads, depthwise,
                layer.activation.__name__,
            )
        )  # fmt: skip

    def _read_BatchNormalization(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        node = self.nodes[inputs[0]]
        if not isinstance(node, Convolution) or node.activation != "linear":
            raise ValueError(f"the batch normalisation {layer.name!r} does not follow a convolution")
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        gain = np.asarray(layer.gamma) / np.sqrt(variance + layer.epsilon)
        kernel = node.kernel * (gain[:, None] if node.depthwise else gain)
        bias = (node.bias - mean) * gain + np.asarray(layer.beta)
        self._refine(inputs[0], layer, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))

    def _read_ReLU(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        self._refine(inputs[0], layer, activation="relu" if layer.max_value is None else "relu6")

    def _read_Activation(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        self._refine(inputs[0], layer, activation=layer.activation.__name__)

    def _read_Add(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        self._add(Addition(layer.name, inputs))

    def _read_MaxPooling2D(self, layer: Any, inputs: tuple[str, ...]) -> None:  # noqa: N802
        inputs, pads = self._take_pads(layer, inputs, layer.pool_size)
        self._add(MaxPooling(layer.name, inputs, tuple(layer.pool_size), tuple(layer.strides), pads))


def _input_names(layer: Any) -> list[str]:
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation.name for tensor in tensors]
