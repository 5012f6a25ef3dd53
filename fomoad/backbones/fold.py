"""Described layers and their arrays, folded into a network: batch normalisation and activations join convolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from fomoad.backbones.graph import (
    INPUT,
    NORMALISED,
    Addition,
    Array,
    Convolution,
    MaxPooling,
    Network,
    Node,
    Normalisation,
    Pads,
    same_pads,
)
from fomoad.backbones.layers import Activation, BatchNorm, Conv, Layer, MaxPool, Sum, needed
from fomoad.data.scaling import Affine

Arrays = Mapping[str, Array]
"""Arrays of layers, float32, by names such as `Conv1/kernel`."""
_IMAGES: Final = ""


def fold(
    layers: Sequence[Layer], arrays: Arrays, outputs: tuple[str, ...], affine: Affine, shape: tuple[int, int, int]
) -> Network:
    """Fold layers up to `outputs` into a network for images of a shape (height, width, channels).

    `affine` turns the images into those that the weights expect. For one channel the network computes what the layers
    would give for the grey image repeated three times: exactly, by summing the first kernel over its inputs where all
    channels are normalised alike, else by making the three normalised channels of the one.

    Where all channels are normalised alike, the convolutions that read the images do that on their way, so that
    nothing is computed, or rounded, before them.

    Raises ValueError for an output that is no layer's.
    """
    alike = _uniform(affine)
    source = INPUT if alike else NORMALISED
    nodes: dict[str, Node] = {}
    sides = {_IMAGES: shape[:2]}
    for layer in needed({layer.name: layer for layer in layers}, outputs):
        inputs = layer.inputs or (_IMAGES,)
        sides[layer.name] = sides[inputs[0]]
        if isinstance(layer, BatchNorm | Activation):
            nodes[layer.name] = _refined(nodes.pop(inputs[0]), layer, arrays)
            continue
        node: Node
        if isinstance(layer, Conv):
            node = _convolution(layer, inputs, arrays, sides[inputs[0]])
            sides[layer.name] = _slid(sides[inputs[0]], node.kernel.shape[:2], layer.stride, node.pads)
        elif isinstance(layer, MaxPool):
            node = _pooling(layer, inputs)
            sides[layer.name] = _slid(sides[inputs[0]], node.size, layer.stride, node.pads)
        elif isinstance(layer, Sum):
            node = Addition(layer.name, inputs)
        else:
            raise ValueError(f"no way to fold the layer {layer.name!r}")
        nodes[layer.name] = node
    folded: list[Node] = [] if alike else [Normalisation(NORMALISED, (INPUT,), affine)]
    for node in nodes.values():
        first = _IMAGES in node.inputs
        node = replace(node, inputs=tuple(name or source for name in node.inputs))
        folded.append(_normalising(node, affine, summed=shape[2] == 1) if first and alike else node)
    return Network(tuple(folded), outputs, shape)


def _convolution(layer: Conv, inputs: tuple[str, ...], arrays: Arrays, sides: tuple[int, ...]) -> Convolution:
    kernel = arrays[f"{layer.name}/kernel"]
    bias = arrays[f"{layer.name}/bias"] if layer.bias else np.zeros(layer.channels, np.float32)
    strides = (layer.stride, layer.stride)
    pads = same_pads(sides, kernel.shape[:2], strides) if layer.around is None else _even(layer.around)
    return Convolution(layer.name, inputs, kernel, bias, strides, pads, layer.depthwise)


def _pooling(layer: MaxPool, inputs: tuple[str, ...]) -> MaxPooling:
    size, strides = (layer.size, layer.size), (layer.stride, layer.stride)
    return MaxPooling(layer.name, inputs, size, strides, _even(layer.around))


def _even(around: int) -> Pads:
    return (around, around), (around, around)


def _slid(sides: tuple[int, ...], size: tuple[int, ...], stride: int, pads: Pads) -> tuple[int, int]:
    """How many places a window has along both sides."""
    height, width = ((side + sum(pad) - n) // stride + 1 for side, n, pad in zip(sides, size, pads, strict=True))
    return height, width


def _refined(node: Node, layer: BatchNorm | Activation, arrays: Arrays) -> Node:
    """The node with the layer after it done as well, under that layer's name."""
    if isinstance(layer, Activation) and isinstance(node, Convolution | Addition):
        return replace(node, name=layer.name, activation=layer.function)
    if isinstance(layer, Activation) or not isinstance(node, Convolution) or node.activation != "linear":
        raise ValueError(f"the layer {layer.name!r} follows none that it can be folded into")
    gamma, beta, mean, variance = (arrays[f"{layer.name}/{name}"] for name in layer.arrays())
    gain = gamma / np.sqrt(variance + layer.epsilon)
    kernel = node.kernel * (gain[:, None] if node.depthwise else gain)
    bias = (node.bias - mean) * gain + beta
    return replace(node, name=layer.name, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))


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


def _uniform(affine: Affine) -> bool:
    return bool(np.ptp(affine.scale) == 0 and np.ptp(affine.offset) == 0 and not affine.reversed_channels)
