"""Images as several machines see them: in an npy file under one path."""

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomoad.data.dataset import Images
from fomoad.data.npy_file import ArrayFile, ChosenRows, open_array
from fomoad.errors import UserError


@dataclass(frozen=True)
class SharedImages:
    """Images in an npy file that other machines see under the same path; of all its rows, or the `chosen` (n,) ones.

    `size` is that of the file in bytes: another machine may have another file there.
    """

    path: str
    size: int
    shape: tuple[int, int, int]
    scaling: str
    chosen: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, images: Images) -> "SharedImages":
        """The file that images are read from."""
        array, chosen = images.array, None
        while isinstance(array, ChosenRows):
            chosen = array.chosen if chosen is None else array.chosen[chosen]
            array = array.array
        assert isinstance(array, ArrayFile), array
        path = array.path.resolve()
        return cls(str(path), path.stat().st_size, images.shape, images.scaling, chosen)

    def open(self) -> Images:
        """The images. Raises UserError where this machine does not see the file."""
        path = Path(self.path)
        array = open_array(path) if path.is_file() and path.stat().st_size == self.size else None
        if array is None:
            raise UserError(
                f"{path} is not to be seen on {platform.node()}, or is another file there: all machines must see the "
                "data directory under the same path."
            )
        rows = array if self.chosen is None else ChosenRows(array, self.chosen)
        return Images(rows, (self.shape[0], self.shape[1], self.shape[2]), self.scaling)
