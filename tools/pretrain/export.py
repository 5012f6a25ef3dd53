"""The bundled file: plain arrays under Keras' variable paths, no pickle, the same bytes for the same arrays."""

import hashlib
from pathlib import Path

import numpy as np

from tools.pretrain.network import Arrays, random_arrays


def read(path: Path) -> Arrays:
    """Arrays of a file that `write` made."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write(arrays: Arrays, path: Path) -> str:
    """Write the arrays as one .npz file, whole or not at all; returns its SHA-256.

    Raises ValueError where an array is missing or not finite.
    """
    ordered = {name: np.asarray(arrays[name], np.float32) for name in random_arrays(0)}
    broken = [name for name, value in ordered.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"not finite: {', '.join(broken)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.part.npz")
    np.savez_compressed(beside, **ordered)
    beside.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
