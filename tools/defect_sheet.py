"""Draws docs/made-defects.jpg: every kind of made defect on photos of the demonstration's part.

Run from the repository's root: python -m tools.defect_sheet docs/made-defects.jpg
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fomoad.data.samples.generate import DIFFICULTIES, NORMAL_NAME, photo
from fomoad.defects import KINDS, Defect, made_set

SIDE: Final = 160
PHOTOS: Final = 8
ROWS: Final = 3
ATTEMPTS: Final = 60
"""Defects of a kind that are asked for at most: a blur does not show everywhere."""
FRAME: Final = (0, 220, 90)
SPACE: Final = 4
HEADING: Final = 14


def draw(seed: int) -> Image.Image:
    """A column for each kind, ROWS defects each, a frame around every one."""
    level = DIFFICULTIES["medium"]
    photos = np.stack([photo(NORMAL_NAME, SIDE, level, np.random.default_rng([seed, i]))[0] for i in range(PHOTOS)])
    step = SIDE + SPACE
    sheet = Image.new("RGB", (step * len(KINDS) - SPACE, HEADING + step * ROWS - SPACE), "white")
    pen = ImageDraw.Draw(sheet)
    for column, kind in enumerate(KINDS):
        pen.text((column * step + 2, 0), kind.replace("_", " "), fill="black")
        for row, defect in enumerate(islice(made_set(photos, ATTEMPTS, seed + column, [kind]), ROWS)):
            sheet.paste(Image.fromarray(_framed(defect)), (column * step, HEADING + row * step))
    return sheet


def _framed(defect: Defect) -> NDArray[np.uint8]:
    image = Image.fromarray(defect.pixels)
    rows, columns = np.nonzero(defect.mask)
    box = (columns.min() - SPACE, rows.min() - SPACE, columns.max() + SPACE, rows.max() + SPACE)
    ImageDraw.Draw(image).rectangle(tuple(map(int, box)), outline=FRAME)
    return np.asarray(image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw(arguments.seed).save(arguments.picture, quality=80)
