"""Feature extractors: an architecture and its weights to a network cut at named layers."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from fomoad.backbones.architectures import ARCHITECTURES, Architecture
from fomoad.backbones.graph import Convolution, Network
from fomoad.backbones.keras_reader import read_keras
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
    model = architecture.build((*input_shape[:2], 3))
    load_into(model, weights.path)
    network = cut(model, architecture, input_shape, input_scaling, layers)
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


def cut(
    model: Any,
    architecture: Architecture,
    input_shape: tuple[int, int, int],
    input_scaling: str,
    layers: tuple[str, ...],
) -> Network:
    """Fold a Keras model of an architecture into a network that ends at `layers`."""
    channels = input_shape[2]
    source = scaling.affine(input_scaling, channels)
    return read_keras(model, layers, _between(source, scaling.affine(architecture.expects, 3)), channels)


def load_into(model: Any, path: Path) -> None:
    """Load a Keras .h5 file or a bundled .npz file of arrays into a Keras model.

    Raises UserError for a file that cannot be read or does not fit.
    """
    try:
        if path.suffix == ".npz":
            _load_arrays(model, path)
        else:
            model.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The weights file {path} does not fit the backbone {model.name}: {reason}; give a .h5 file of the "
            "same Keras Applications model without its top."
        ) from error


def _load_arrays(model: Any, path: Path) -> None:
    """Set every variable that the file names; layers past the last one that it holds stay as they are."""
    with np.load(path, allow_pickle=False) as arrays:
        variables = {variable.path: variable for layer in model.layers for variable in layer.weights}
        for name in arrays.files:
            variables[name].assign(arrays[name].astype(np.float32))


def _between(source: Affine, target: Affine) -> Affine:
    """The map from images scaled as `source` says to those scaled as `target` says."""
    flip = len(source.scale) == 3 and source.reversed_channels != target.reversed_channels
    order = slice(None, None, -1) if flip else slice(None)
    from_scale, from_offset = (v.astype(np.float64)[order] for v in (source.scale, source.offset))
    scale = target.scale / from_scale
    offset = target.offset - from_offset * scale
    return Affine(scale.astype(np.float32), offset.astype(np.float32), flip)
