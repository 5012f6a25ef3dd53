"""Images as plain pixels, one at a time: what is drawn on, cut into tiles or shown."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fomoad.data import scaling
from fomoad.data.dataset import Images


class PixelImages(Protocol):
    """uint8 images (height, width, channels) by number. An array (N, height, width, channels) is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class StoredPixels:
    """Some images of a data directory as pixels, read when they are asked for.

    `rows` (n,) are their rows there, in the order that they are numbered in here.
    """

    images: Images
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        values = self.images.rows(self.rows[index : index + 1])[0]
        pixels = np.rint(scaling.to_pixels(values, self.images.scaling))
        return np.clip(pixels, 0, 255).astype(np.uint8)
