"""An experiment: defects of every kind, contrast and size on good images, and their scores."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data import scaling
from fomoad.data.dataset import Images
from fomoad.data.pixel_images import StoredPixels
from fomoad.data.tiles import Tiling
from fomoad.defects import KINDS, Defect, made_set
from fomoad.progress import track

Array = NDArray[np.float32]
Score = Callable[[Array, NDArray[np.int64]], Array]
"""Image scores (n,) of model inputs (n, height, width, channels), versions of the images of these rows (n,)."""

CONTRASTS: Final = {"faint": 0.4, "strong": 1.0}
"""How strong defects are made, as a share of the strongest of their kind."""
SIZES: Final = (1 / 40, 1 / 4)
"""Lengths that are tried, as shares of the image's shorter side."""
SMALLEST: Final = 2.5
"""Lengths in pixels below this are not tried: a line of a pixel has no kind."""
PER_IMAGE: Final = 2
"""Defects for each good image there is, within the limits of FEWEST and MOST: more say little new."""
FEWEST: Final = 48
MOST: Final = 320
BATCH: Final = 16


@dataclass(frozen=True)
class Trials:
    """The made defects, their pixels dropped, and the scores (n,) that each scorer gave them."""

    defects: list["Trial"]
    scores: dict[str, Array]

    def on_photos(self, tiling: Tiling | None) -> list["Trial"]:
        """The defects where they lie on photos, whose numbers then stand for the rows of their tiles."""
        return self.defects if tiling is None else [each.on_photo(tiling) for each in self.defects]


@dataclass(frozen=True)
class Trial:
    """What is kept of a made defect: its middle (row, column) and its length in pixels, and the row of its image."""

    kind: str
    contrast: str
    size: float
    middle: tuple[float, float]
    image: int

    def on_photo(self, tiling: Tiling) -> "Trial":
        """The same defect where it lies on the photo that its image is a tile of."""
        top, left = list(tiling.corners())[self.image % tiling.count]
        return replace(self, middle=(self.middle[0] + top, self.middle[1] + left), image=self.image // tiling.count)


def run(
    images: Images,
    rows: NDArray[np.int64],
    seed: int,
    scorers: Mapping[str, Score],
    where: NDArray[np.bool_] | None = None,
) -> Trials:
    """Make defects on the good images of these rows and score each by every scorer.

    Their number grows with that of the images; the same images and seed give the same defects. Their middles lie
    `where` pixels (height, width) say, None: anywhere.
    """
    count = int(np.clip(PER_IMAGE * len(rows), FEWEST, MOST))
    trials: list[Trial] = []
    scores: dict[str, list[Array]] = {name: [] for name in scorers}
    for batch in _batches(track(_made(images, rows, count, seed, where), "Making defects to find", count)):
        inputs = scaling.from_pixels(np.stack([defect.pixels for _, defect in batch]), images.scaling)
        numbers = np.array([trial.image for trial, _ in batch])
        for name, score in scorers.items():
            scores[name].append(score(inputs, numbers))
        trials += [trial for trial, _ in batch]
    empty = [np.empty(0, np.float32)]
    return Trials(trials, {name: np.concatenate(parts or empty) for name, parts in scores.items()})


def _made(
    images: Images, rows: NDArray[np.int64], count: int, seed: int, where: NDArray[np.bool_] | None
) -> Iterator[tuple[Trial, Defect]]:
    """Made defects, kinds and contrasts in turn, on images in a random order of each kind's own."""
    groups = [(kind, contrast) for contrast in CONTRASTS for kind in KINDS]
    least = max(SIZES[0], SMALLEST / min(images.shape[:2]))
    sets: deque[tuple[str, NDArray[np.int64], Iterator[Defect]]] = deque()
    for number, (kind, contrast) in enumerate(groups):
        order = np.random.default_rng([seed, number]).permutation(rows)
        strength = CONTRASTS[contrast]
        share = len(range(number, count, len(groups)))
        pixels = StoredPixels(images, order)
        made = made_set(pixels, share, seed + number, [kind], (least, SIZES[1]), (strength, strength), where)
        sets.append((contrast, order, made))
    while sets:
        contrast, order, made = sets.popleft()
        defect = next(made, None)
        if defect is None:
            continue
        sets.append((contrast, order, made))
        middle = tuple(float(axis.mean()) for axis in np.nonzero(defect.mask))
        yield Trial(defect.kind, contrast, defect.size, (middle[0], middle[1]), int(order[defect.image])), defect


def _batches(items: Iterator[tuple[Trial, Defect]]) -> Iterator[list[tuple[Trial, Defect]]]:
    batch: list[tuple[Trial, Defect]] = []
    for trial, defect in items:
        batch.append((trial, replace(defect, mask=defect.mask[:0])))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
