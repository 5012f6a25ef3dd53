"""Making a network ready for int8: the range that each tensor's steps cover, and biases that undo rounding's bias.

Both are measured on training images. On the magnetic tiles, bias correction takes away more than half of the
features' error and percentiles a little of the rest. Ranges of the least squared error clip what defects look like
and did harm; rounding kernels by second moments (Frantar et al. 2022) took away nothing more.
"""

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.backbones import graph
from fomoad.backbones.graph import INPUT, Convolution, Network, Node, Normalisation, Ranges
from fomoad.progress import track

Array = NDArray[np.float32]

COVERED: Final = 0.9999
"""The share of a tensor's values up to which its range reaches at either end.

The few above it are clipped, and all others get finer steps. Clipping more would clip what defects look like.
"""
BATCH: Final = 20
"""Images that are measured at a time."""
VALUES_PER_BATCH: Final = 200_000
"""Percentiles are taken of about this many values of each tensor and batch."""
TENSOR_BYTES: Final = 128 * 2**20
"""Biases are corrected on as many images as keep each tensor below this size; a handful of tensors live at once."""


def calibrate(network_: Network, images: Array, input_range: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Measure every tensor's range on training images (N, height, width, channels), 0 included.

    Each end is the mean over batches of the percentile `COVERED`. The images themselves have `input_range`,
    whatever the training images hold.
    """
    function = _every_tensor(network_)
    ends: dict[str, list[tuple[float, float]]] = {}
    batches = np.array_split(images, -(-len(images) // BATCH))
    for batch in track(batches, "Measuring int8 ranges", len(images), len):
        for name, tensor in function(tf.constant(batch)).items():
            ends.setdefault(name, []).append(_percentiles(tensor.numpy()))
    means = {name: np.mean(pairs, axis=0) for name, pairs in ends.items()}
    return {name: (float(low), float(high)) for name, (low, high) in means.items()} | _image_ranges(
        network_, input_range
    )


def correct_biases(network_: Network, ranges: Ranges, images: Array) -> Network:
    """Shift each convolution's biases so that rounding leaves its outputs' means as they are.

    Rounded kernels and inputs shift a convolution's output by a constant: on inputs that hardly vary (a clean
    surface) that is most of the error. Nagel et al., "Data-Free Quantization through Weight Equalization and Bias
    Correction", ICCV 2019, section 4.2, with means that are measured on `images` (N, height, width, channels), layer
    by layer, each seeing inputs that are corrected already.
    """
    images = images[: _affordable_images(network_, len(images))]
    exact: dict[str, tf.Tensor] = {INPUT: tf.constant(images)}
    rounded = {INPUT: graph.rounded(exact[INPUT], INPUT, ranges)}
    corrected: list[Node] = []
    for position, node in enumerate(network_.nodes):
        new = node
        if isinstance(node, Convolution):
            new = _corrected(node, exact[node.inputs[0]], rounded[node.inputs[0]], ranges)
        corrected.append(new)
        exact[node.name] = graph.compute(node, exact)
        rounded[node.name] = graph.compute(new, rounded, ranges)
        needed = {name for later in network_.nodes[position + 1 :] for name in later.inputs}
        for name in exact.keys() - needed:
            del exact[name], rounded[name]
    return replace(network_, nodes=tuple(corrected))


def errors(exact: Network, quantised: Network, ranges: Ranges, images: Array) -> dict[str, float]:
    """How far each output is off for being rounded: the norm of the error over that of the tensor less its mean.

    The mean is that of each channel: what a scorer sees is how a feature varies.
    """
    wanted = graph.run(exact, tf.constant(images))
    given = graph.run(quantised, tf.constant(images), ranges)
    return {name: _relative_error(given[name].numpy(), wanted[name].numpy()) for name in exact.outputs}


def _corrected(node: Convolution, exact: tf.Tensor, rounded: tf.Tensor, ranges: Ranges) -> Convolution:
    linear = replace(node, activation="linear")
    source = node.inputs[0]
    wanted = graph.compute(linear, {source: exact})
    # Its own output is not rounded: that has no bias, and the activation comes first.
    unrounded = {name: ends for name, ends in ranges.items() if name != node.name}
    given = graph.compute(linear, {source: rounded}, unrounded)
    shift = tf.reduce_mean(wanted - given, axis=(0, 1, 2)).numpy()
    return replace(node, bias=(node.bias + shift).astype(np.float32))


def _percentiles(tensor: NDArray[Any]) -> tuple[float, float]:
    stride = max(1, tensor.size // VALUES_PER_BATCH)
    while math.gcd(stride, tensor.size) > 1:  # else some channels or columns would never be met
        stride += 1
    values = tensor.reshape(-1)[::stride]
    low, high = np.quantile(values, (1 - COVERED, COVERED))
    return min(0.0, float(low)), max(0.0, float(high))


def _image_ranges(network_: Network, input_range: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """The ranges of the images and of what is made of them channel by channel, which follow from each other."""
    ends = np.empty((2, 1, 1, network_.input_shape[2]), np.float32)
    ends[:] = np.reshape(input_range, (2, 1, 1, 1))
    ranges = {INPUT: _range(ends)}
    for node in network_.nodes:
        if isinstance(node, Normalisation):
            without_offset = replace(node, affine=replace(node.affine, offset=np.zeros_like(node.affine.offset)))
            ranges[graph.scaled_name(node)] = _range(graph.compute(without_offset, {INPUT: ends}))
            ranges[node.name] = _range(graph.compute(node, {INPUT: ends}))
    return ranges


def _range(values: tf.Tensor) -> tuple[float, float]:
    return min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))


def _every_tensor(network_: Network) -> Any:
    """All tensors of a network by name, compiled. There is no control flow that would have to be rewritten first."""
    return tf.function(lambda images: graph.run(network_, images, every=True), reduce_retracing=True, autograph=False)


def _affordable_images(network_: Network, count: int) -> int:
    """How many images can be computed at once without any tensor growing past `TENSOR_BYTES`."""
    one = tf.TensorSpec((1, *network_.input_shape), tf.float32)
    traced = _every_tensor(network_).get_concrete_function(one)
    largest = max(int(np.prod(shape)) for shape in traced.output_shapes.values())
    return int(np.clip(TENSOR_BYTES // (4 * largest), 1, count))


def _relative_error(rounded: NDArray[Any], exact: NDArray[Any]) -> float:
    varying = exact - exact.mean(axis=(0, 1, 2))
    return float(np.linalg.norm(rounded - exact)) / max(float(np.linalg.norm(varying)), 1e-12)
