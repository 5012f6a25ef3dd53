"""Keras models, read layer by layer into folded networks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fomoad.backbones.graph import (
    INPUT,
    NO_PADS,
    NORMALISED,
    Addition,
    Array,
    Convolution,
    MaxPooling,
    Network,
    Node,
    Normalisation,
    Pads,
    needed,
    same_pads,
)
from fomoad.data.scaling import Affine


def read_keras(model: Any, outputs: Iterable[str], affine: Affine, channels: int) -> Network:
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
    for node in needed(reader.nodes, wanted):
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


def _uniform(affine: Affine) -> bool:
    return bool(np.ptp(affine.scale) == 0 and np.ptp(affine.offset) == 0 and not affine.reversed_channels)


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
