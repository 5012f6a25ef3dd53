"""Data directories read whole, and arrays as the files that lie in them: for the tests, and for tools/fuzz."""

import io
from pathlib import Path

import numpy as np

from fomoad.data import dataset
from fomoad.data.info_file import read_info
from fomoad.data.scaling import DEFAULT_SCALING


def read_all(directory: Path) -> None:
    """Read and check both splits as training and testing do. Raises UserError where they would."""
    info = read_info(None, directory)
    for split in ("train", "test"):
        images = dataset.open_split(directory, split, DEFAULT_SCALING, info).images
        for rows, batch in images.batches() if images else ():
            dataset.check_values(images, rows, batch)


def npy_file(array: np.ndarray) -> bytes:
    """The bytes of an npy file; objects are pickled."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
