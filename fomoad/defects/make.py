"""Making defects: one on an image, or a set of them spread over kinds, sizes and contrasts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.data.pixel_images import PixelImages
from fomoad.defects.kinds import KINDS
from fomoad.defects.measure import Defect, extent, visibility
from fomoad.defects.place import choose, part_of
from fomoad.defects.scene import Array, Change, Scene

SIZES: Final = (1 / 16, 1 / 5)
"""Length of a defect as a share of the image's shorter side, from and to."""
CONTRASTS: Final = (0.35, 1.0)
"""How strong a defect is as a share of the strongest of its kind, from and to."""
VISIBLE: Final = 5.0
"""Grey levels of 255 that a defect must show by: less, and no one would call the part defective."""
TRIES: Final = 12
"""Positions that are tried on an image for a defect that shows."""
COVERED: Final = 0.3
"""Share by which a pixel is covered from which it belongs to the mask."""
GREY: Final = 8
"""Grey levels that the channels of a grey image differ by at most, as JPEG files of grey photos do."""
CHANGED: Final = 2
"""Grey levels that a pixel of the mask changes by at least to belong to it."""


def make_defect(
    pixels: NDArray[np.uint8],
    kind: str,
    size: float,
    contrast: float,
    random: Generator,
    donors: PixelImages | None = None,
    where: NDArray[np.bool_] | None = None,
) -> Defect | None:
    """Make a defect on a good image (height, width, channels), 1 or 3 channels.

    `kind` is a key of KINDS, `size` the length as a share of the image's shorter side, `contrast` above 0 to 1.
    Pieces come from `donors`, good images of the same shape, or from the image itself. The defect's middle is chosen
    `where` pixels (height, width) say, None: anywhere on the part. None where no defect of this
    kind, size and contrast would show at any position tried: say, a blur on a surface that is smooth.

    >>> image = np.full((64, 64, 1), 128, np.uint8)
    >>> defect = make_defect(image, "stain", 0.2, 1.0, np.random.default_rng(1))
    >>> bool((defect.pixels != image).any(axis=2)[defect.mask].all())
    True
    """
    if pixels.shape[2] == 3 and colourless(pixels):
        grey_donors = None if donors is None else _Grey(donors)
        grey = make_defect(pixels[..., :1], kind, size, contrast, random, grey_donors, where)
        return None if grey is None else replace(grey, pixels=grey.pixels.repeat(3, axis=2))
    part = part_of(pixels)
    if where is not None:
        part = part & where if (part & where).any() else where
    for _ in range(TRIES):
        long = size * min(pixels.shape[:2])
        donor = pixels if donors is None or random.random() < 0.5 else donors[int(random.integers(len(donors)))]
        scene = Scene(pixels.astype(np.float32), donor.astype(np.float32), choose(part, long, random), long)
        defect = _applied(pixels, kind, scene, KINDS[kind](scene, random), contrast)
        if defect is not None:
            return defect
    return None


def made_set(
    images: PixelImages,
    count: int,
    seed: int,
    kinds: Sequence[str] = tuple(KINDS),
    sizes: tuple[float, float] = SIZES,
    contrasts: tuple[float, float] = CONTRASTS,
    where: NDArray[np.bool_] | None = None,
) -> Iterator[Defect]:
    """Make `count` defects on good images, in turn over images and kinds, over all sizes and contrasts.

    Their middles lie `where` pixels (height, width) say, None: anywhere on the parts.

    Defect number n depends on the seed, n and the images alone. It is made on image n modulo their number; where its
    kind does not show there, the next kind is made. Where none shows, which takes an image without any surface, the
    number is left out.

    >>> images = np.full((2, 64, 64, 3), 128, np.uint8)
    >>> [defect.image for defect in made_set(images, 3, seed=1, kinds=["stain"])]
    [0, 1, 0]
    """
    for number in range(count):
        random = np.random.default_rng([seed, number])
        image = number % len(images)
        size = float(np.exp(random.uniform(*np.log(sizes))))
        contrast = float(random.uniform(*contrasts))
        # Kinds shift by one each time the images are through: an image gets other kinds than the last time.
        first = number + number // len(images)
        for turn in range(len(kinds)):
            kind = kinds[(first + turn) % len(kinds)]
            defect = make_defect(images[image], kind, size, contrast, random, images, where)
            if defect is not None:
                yield replace(defect, image=image)
                break


def colourless(pixels: NDArray[np.uint8]) -> bool:
    """Whether an RGB image (height, width, 3) is grey, as of a grey camera: defects on it must be grey as well."""
    return int(np.ptp(pixels, axis=2).max()) <= GREY


@dataclass(frozen=True)
class _Grey:
    """The first channel of images."""

    images: PixelImages

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self.images[index][..., :1]


def _applied(pixels: NDArray[np.uint8], kind: str, scene: Scene, change: Change, contrast: float) -> Defect | None:
    """The image with the change made; None where it does not show."""
    before: Array = scene.pixels
    share = (change.cover * np.float32(contrast))[..., None]
    after = np.clip(np.rint(before + share * (change.target - before)), 0, 255)
    inside = (change.cover >= COVERED) & (np.abs(after - before).max(axis=2) >= CHANGED)
    shown = visibility(before, after, inside)
    if shown < VISIBLE:
        return None
    changed = pixels.copy()
    changed[scene.window] = after.astype(np.uint8)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[scene.window] = inside
    return Defect(changed, mask, kind, extent(mask), shown)
