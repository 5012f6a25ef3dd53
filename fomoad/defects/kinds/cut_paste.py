"""A piece of a good image pasted where it does not belong: a foreign part, a chip, a shifted print."""

from typing import Final

import numpy as np
from numpy.random import Generator

from fomoad.defects.kinds.pieces import piece
from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import rectangle

SCAR_SHARE: Final = 0.4
"""Share of pieces that are long and thin."""
JITTER: Final = 0.1
"""The piece's brightness is multiplied by 1 - JITTER to 1 + JITTER."""


def cut_paste(scene: Scene, random: Generator) -> Change:
    """A turned rectangle or a thin scar of the donor, a little brighter or darker (Li et al., CutPaste, CVPR 2021)."""
    slimmest = 0.12 if random.random() < SCAR_SHARE else 0.4
    cover = rectangle(scene, random, slimmest)
    brightness = np.float32(random.uniform(1 - JITTER, 1 + JITTER))
    return Change(np.clip(piece(scene, random) * brightness, 0, 255), cover)
