"""The bundled file: plain arrays under Keras' variable paths, no pickle, the same bytes for the same arrays."""

import hashlib
from pathlib import Path

import numpy as np

from tools.pretrain.network import Arrays


def write(arrays: Arrays, path: Path) -> str:
    """Write the arrays as one .npz file of float16, whole or not at all; returns its SHA-256.

    Half precision moves no score by as much as int8 does, and takes half the space (fomoad/weights/README.md).
    Raises ValueError where an array is not finite.
    """
    stored = {name: np.asarray(value, np.float16) for name, value in arrays.items()}
    broken = [name for name, value in stored.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"not finite: {', '.join(broken)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.part.npz")
    np.savez_compressed(beside, **stored)
    beside.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
