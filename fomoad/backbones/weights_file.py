"""Files of a backbone's weights: Keras' .h5 files and the bundled .npz file, read as arrays by the layers' names."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones.layers import BatchNorm, Conv, Layer
from fomoad.errors import UserError
from fomoad.verify.npz import read_arrays

MOST_BYTES: Final = 2**29
"""Weights of the largest backbone take a fifth of this."""
MOST_NAMES: Final = 10_000
MOST_NAME_BYTES: Final = 2**20
"""Of a list of names, as far as its size is known before it is read."""

Array = NDArray[np.float32]


def read(path: Path, backbone: str, layers: Sequence[Layer], wanted: Collection[str]) -> dict[str, Array]:
    """Read the arrays of the layers named in `wanted`: by names such as `Conv1/kernel`, float32.

    `layers` are all of the backbone's. A .h5 file holds the arrays of just these, in their order: as Keras' `save`
    and its own downloads have them, or as its `save_weights` does. A .npz file has them by their names; those of
    layers that are not wanted may be missing.

    Raises UserError for a file that cannot be read or does not fit. Shapes and types are checked before values are
    read, and no pickle is loaded.
    """
    try:
        if path.suffix == ".npz":
            return _read_npz(path, layers, wanted)
        return _read_h5(path, layers, wanted)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # HDF5 raises any
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The weights file {path} does not fit the backbone {backbone}: {reason}; give a .h5 file of the same "
            "Keras Applications model without its top."
        ) from error


def _read_npz(path: Path, layers: Sequence[Layer], wanted: Collection[str]) -> dict[str, Array]:
    shapes = {f"{layer.name}/{name}": shape for layer in layers for name, shape in layer.arrays().items()}
    found = read_arrays(path, MOST_BYTES, "f")
    for name, array in found.items():
        if name not in shapes:
            raise ValueError(f"the backbone has no {name[:100]}")
        _check_shape(name, array.shape, shapes[name])
    missing = [name for name in shapes if name not in found and name.rpartition("/")[0] in wanted]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return {name: array.astype(np.float32) for name, array in found.items() if name.rpartition("/")[0] in wanted}


def _read_h5(path: Path, layers: Sequence[Layer], wanted: Collection[str]) -> dict[str, Array]:
    import h5py

    filled = [layer for layer in layers if layer.arrays()]
    arrays = {}
    with h5py.File(path, "r") as file:
        stored = _stored(file, filled)
        if len(stored) != len(filled):
            raise ValueError(f"it holds {len(stored)} layers with weights, not {len(filled)}")
        for layer, datasets in zip(filled, stored, strict=True):
            shapes = layer.arrays()
            if len(datasets) != len(shapes):
                raise ValueError(f"it holds {len(datasets)} arrays of the layer {layer.name}, not {len(shapes)}")
            for (name, shape), dataset in zip(shapes.items(), datasets, strict=True):
                _check_dataset(f"{layer.name}/{name}", dataset, shape)
                if layer.name in wanted:
                    arrays[f"{layer.name}/{name}"] = dataset[()].astype(np.float32)
    return arrays


def _stored(file: Any, filled: Sequence[Layer]) -> list[list[Any]]:
    """The data sets of each layer in the file that has any, in the order of the backbone's layers."""
    if "layer_names" in file.attrs:
        return _by_position(file)
    if "model_weights" in file:
        return _by_position(_member(file, "model_weights"))
    return _by_kind(_member(file, "layers"), filled)


def _by_position(group: Any) -> list[list[Any]]:
    """What Keras' `save` writes: lists of names in the order of the layers. They may be others than the backbone's."""
    inside = [_member(group, name) for name in _names(group, "layer_names")]
    stored = [[_member(layer, name) for name in _names(layer, "weight_names")] for layer in inside]
    return [datasets for datasets in stored if datasets]


def _by_kind(group: Any, filled: Sequence[Layer]) -> list[list[Any]]:
    """What Keras' `save_weights` writes: groups named by the kind of layer, with a number for all but the first."""
    seen: Counter[str] = Counter()
    numbered = []
    for kind in map(_kind, filled):
        numbered.append(f"{kind}_{seen[kind]}" if seen[kind] else kind)
        seen[kind] += 1
    others = [name for name in islice(group, MOST_NAMES) if name not in set(numbered)]
    values = [_member(group, f"{name}/vars") for name in numbered + others]
    return [[_member(inside, str(index)) for index in range(len(inside))] for inside in values if len(inside)]


def _kind(layer: Layer) -> str:
    if isinstance(layer, BatchNorm):
        return "batch_normalization"
    return "depthwise_conv2d" if isinstance(layer, Conv) and layer.depthwise else "conv2d"


def _names(group: Any, attribute: str) -> list[str]:
    """Names in a list that is kept with a group. Raises ValueError where there is none, or of far too many."""
    stored = group.attrs.get_id(attribute)
    shape: tuple[int, ...] = stored.shape or ()  # None: an attribute that holds nothing
    if len(shape) != 1 or shape[0] > MOST_NAMES or shape[0] * stored.dtype.itemsize > MOST_NAME_BYTES:
        raise ValueError(f"its {attribute} are no list of names")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _member(group: Any, path: str) -> Any:
    """A group or data set at a path inside another. Raises ValueError for a link, which may lead out of the file."""
    import h5py

    for name in path.split("/"):
        if not isinstance(group, h5py.Group) or name not in group:
            raise ValueError(f"{path[:100]} is missing")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path[:100]} is a link")
        group = group[name]
    return group


def _check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ValueError(f"{name} has the shape {found}, not {expected}")


def _check_dataset(name: str, dataset: Any, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless it holds floats of the expected shape, which lie in the file just as they are."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise ValueError(f"{name} is no array of floats")
    _check_shape(name, dataset.shape, expected)
    layout = dataset.id.get_create_plist().get_layout()
    if layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or dataset.external:
        raise ValueError(f"{name} is packed, or lies in another file")
