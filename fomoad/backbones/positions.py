"""Where the cells of a network's tensors lie on the image."""

import numpy as np

from fomoad.backbones.graph import INPUT, Array, Convolution, MaxPooling, Network, Node
from fomoad.geometry import Axis, CellGeometry, mean, pixels


def positions(network: Network) -> dict[str, CellGeometry]:
    """The geometry of each tensor's cells, by the windows, strides and padding of what leads to it.

    A convolution's window is taken to lie where its weights do, which is not half way in trained networks: at a
    stride of 2 they lean towards the first pixels. The centre of gravity of the outputs' squared gradients by the
    pixels lies within 1.5 pixels of these positions for MobileNetV2 (docs/device.md).
    """
    found = {INPUT: pixels(*network.input_shape[:2])}
    for node in network.nodes:
        source = mean([found[name] for name in node.inputs])
        found[node.name] = CellGeometry(_slid(node, source.vertical, 0), _slid(node, source.horizontal, 1))
    return found


def _slid(node: Node, source: Axis, side: int) -> Axis:
    """The cells of a node's output along the vertical (side 0) or the horizontal (side 1)."""
    if isinstance(node, MaxPooling):
        return source.slid(node.size[side], node.strides[side], node.pads[side])
    if isinstance(node, Convolution):
        return source.slid(node.kernel.shape[side], node.strides[side], node.pads[side], _middle(node.kernel, side))
    return source


def _middle(kernel: Array, side: int) -> float:
    """Where along one side of a kernel (height, width, inputs, outputs) its squared weights lie.

    Each pair of channels counts the same.
    """
    energy = kernel.astype(np.float64) ** 2
    energy /= np.maximum(energy.sum(axis=(0, 1), keepdims=True), np.finfo(np.float64).tiny)
    weights = energy.sum(axis=(1 - side, 2, 3))
    return float(weights @ np.arange(len(weights)) / weights.sum()) if weights.any() else (len(weights) - 1) / 2
