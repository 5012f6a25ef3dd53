"""Backbones of random weights, without Keras."""

import numpy as np

from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.fold import Arrays
from fomoad.backbones.graph import Network
from fomoad.backbones.layers import Conv
from fomoad.backbones.load import folded

BACKBONE = "mobilenet-v2-0.35"


def fresh_arrays(backbone: str = BACKBONE, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays as Keras starts a training with: uniform kernels, and normalisation that does next to nothing."""
    random = np.random.default_rng(seed)
    arrays = {}
    for layer in ARCHITECTURES[backbone].plan:
        for name, shape in layer.arrays().items():
            values = np.full(shape, name in ("gamma", "moving_variance"), np.float32)
            if isinstance(layer, Conv) and name == "kernel":
                limit = np.sqrt(6 / (np.prod(shape[:2]) * (shape[2] + shape[3])))
                values = random.uniform(-limit, limit, shape).astype(np.float32)
            arrays[f"{layer.name}/{name}"] = values
    return arrays


def network(
    layers: tuple[str, ...],
    shape: tuple[int, int, int],
    input_scaling: str = "-1..1",
    arrays: Arrays | None = None,
    backbone: str = BACKBONE,
) -> Network:
    """A backbone up to these layers, of fresh arrays where none are given."""
    arrays = fresh_arrays(backbone) if arrays is None else arrays
    return folded(ARCHITECTURES[backbone], arrays, shape, input_scaling, layers)
