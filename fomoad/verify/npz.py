"""NumPy's archives of arrays from anywhere: no pickle, and a bound on what they unpack to."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path, most_bytes: int, kinds: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file, by their names.

    `kinds` are those of NumPy's data types that may stand in it, such as "fi". Raises ValueError where the file is
    damaged, would unpack to more than `most_bytes`, or holds arrays of another kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > most_bytes:
            raise ValueError(f"it would unpack to {unpacked / 2**20:,.0f} MiB")
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except Exception as error:  # a damaged archive raises anything from zlib.error to KeyError
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    for name, array in arrays.items():
        if array.dtype.kind not in kinds:
            raise ValueError(f"{name[:100]} holds {array.dtype}, which does not belong in it")
    return arrays
