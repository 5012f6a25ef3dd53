"""`training_state.npz`: arrays that a training leaves for what comes after it, read without pickle, within bounds."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.verify.npz import read_arrays

FILE: Final = "training_state.npz"
VERSION: Final = 1
MOST_BYTES: Final = 2**30
"""A state of the largest backbone takes a tenth of this, unpacked."""
KINDS: Final = "bifuU"
"""Kinds of arrays that may stand in a state: numbers, and text."""

Arrays = Mapping[str, NDArray[Any]]


def pack(arrays: Arrays) -> bytes:
    """The bytes of a state. The same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, version=np.array(VERSION), **dict(sorted(arrays.items())))
    return buffer.getvalue()


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Read a state. Raises UserError where there is none, or it is damaged, too large or of a newer version."""
    if not path.is_file():
        raise UserError(f"There is no {path}: train without --no-state, and keep that file beside the models.")
    try:
        arrays = read_arrays(path, MOST_BYTES, KINDS)
        version = int(arrays.pop("version"))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged, or no state of a training ({error}): train again.") from error
    if version > VERSION:
        raise UserError(f"{path} was written by a newer version of fomoad: update fomoad, or train again.")
    return arrays


def for_model(file: str, content: bytes, held_out_scores: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What a state holds of a model file: its digest, and the training images' held-out scores as it puts them out."""
    return {
        f"sha256/{file}": np.array(hashlib.sha256(content).hexdigest()),
        f"held_out/{file}": held_out_scores,
    }


def held_out_scores(model: Path) -> NDArray[np.float64]:
    """The held-out scores of the training images, from the state beside a model file, as that file puts them out.

    Raises UserError where the state is of another training.
    """
    path = model.parent / FILE
    arrays = read(path)
    check(path, arrays, model)
    scores = arrays.get(f"held_out/{model.name}")
    if (
        scores is None
        or scores.ndim != 1
        or scores.dtype.kind != "f"
        or not len(scores)
        or not np.isfinite(scores).all()
    ):
        raise UserError(f"{path} holds no scores of {model.name}: train again.")
    return scores.astype(np.float64)


def check(path: Path, arrays: Arrays, model: Path) -> None:
    """Raise UserError where a state was not written with this model file."""
    digest = arrays.get(f"sha256/{model.name}")
    if digest is None or str(digest) != hashlib.sha256(model.read_bytes()).hexdigest():
        raise UserError(
            f"{path} is not of the training that wrote {model.name}: keep the files of a training together."
        )
