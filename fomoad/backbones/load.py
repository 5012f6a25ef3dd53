"""Feature extractors: an architecture and its weights to a network cut at named layers."""

from pathlib import Path
from typing import Final

import numpy as np

from fomoad.backbones import weights_file
from fomoad.backbones.architectures import ARCHITECTURES, Architecture
from fomoad.backbones.fold import Arrays, fold
from fomoad.backbones.graph import Convolution, Network
from fomoad.backbones.layers import needed
from fomoad.backbones.weights import Weights
from fomoad.data import scaling
from fomoad.data.scaling import Affine
from fomoad.errors import UserError

LARGEST_WEIGHT: Final = 1e5
"""Kernels of trained networks, with batch normalisation folded in, stay below some hundred."""


def load(
    backbone: str,
    weights: Weights,
    input_shape: tuple[int, int, int],
    input_scaling: str,
    layers: tuple[str, ...],
) -> Network:
    """Build a backbone for images (height, width, channels) of the given scaling, cut at `layers`.

    Raises UserError where the weights file does not fit the backbone.
    """
    architecture = ARCHITECTURES[backbone]
    wanted = {layer.name for layer in needed({layer.name: layer for layer in architecture.plan}, layers)}
    arrays = weights_file.read(weights.path, backbone, architecture.plan, wanted)
    network = folded(architecture, arrays, input_shape, input_scaling, layers)
    check_values(network, weights.path)
    return network


def check_values(network: Network, path: Path) -> None:
    """Check the numbers of a folded network. Raises UserError where they cannot be those of a trained one."""
    for node in network.nodes:
        if isinstance(node, Convolution):
            largest = max(float(np.abs(values).max()) for values in (node.kernel, node.bias))
            if not largest <= LARGEST_WEIGHT:  # NaN is not either
                raise UserError(
                    f"The weights file {path} is damaged or random in part: in {node.name} it holds values as large as "
                    f"{largest:g}. Give the whole weights of the same backbone, or --weights auto."
                )


def folded(
    architecture: Architecture,
    arrays: Arrays,
    input_shape: tuple[int, int, int],
    input_scaling: str,
    layers: tuple[str, ...],
) -> Network:
    """Fold an architecture's layers and their arrays into a network that ends at `layers`."""
    source = scaling.affine(input_scaling, input_shape[2])
    affine = _between(source, scaling.affine(architecture.expects, 3))
    return fold(architecture.plan, arrays, layers, affine, input_shape)


def _between(source: Affine, target: Affine) -> Affine:
    """The map from images scaled as `source` says to those scaled as `target` says."""
    flip = len(source.scale) == 3 and source.reversed_channels != target.reversed_channels
    order = slice(None, None, -1) if flip else slice(None)
    from_scale, from_offset = (v.astype(np.float64)[order] for v in (source.scale, source.offset))
    scale = target.scale / from_scale
    offset = target.offset - from_offset * scale
    return Affine(scale.astype(np.float32), offset.astype(np.float32), flip)
