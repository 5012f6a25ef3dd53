"""Weights that load, but are not those of a trained network."""

from pathlib import Path

import numpy as np
import pytest

from fomoad.backbones import load
from fomoad.backbones.graph import Convolution, Network
from fomoad.backbones.weights import BUNDLED_FOLDER, Weights
from fomoad.errors import UserError

BUNDLED = BUNDLED_FOLDER / "mobilenet_v2_0.35.npz"
SHAPE = (32, 32, 3)
LAYERS = ("block_6_expand_relu",)


def _load(path: Path) -> Network:
    return load.load("mobilenet-v2-0.35", Weights("x", path, "mobilenet-v2-0.35"), SHAPE, "0..1", LAYERS)


def test_trained_weights_are_far_from_the_limit() -> None:
    kernels = [node.kernel for node in _load(BUNDLED).nodes if isinstance(node, Convolution)]
    assert len(kernels) > 10
    assert max(float(np.abs(kernel).max()) for kernel in kernels) < load.LARGEST_WEIGHT / 100


@pytest.mark.parametrize("value", [1e7, np.nan, np.inf])
def test_weights_that_are_random_in_part_are_named(tmp_path: Path, value: float) -> None:
    arrays = dict(np.load(BUNDLED))
    kernel = next(name for name, array in arrays.items() if array.ndim == 4)
    arrays[kernel] = arrays[kernel].astype(np.float32)
    arrays[kernel].flat[0] = value
    np.savez(tmp_path / "partly.npz", **arrays)
    with pytest.raises(UserError, match=r"partly\.npz is damaged or random in part"):
        _load(tmp_path / "partly.npz")
