"""A missing piece: what lies beside it takes its place, as where an edge is chipped or a component was left out."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob

DIRECTIONS: Final = 12
REACH: Final = (0.7, 1.1)
"""How far away, in extents, the filling is taken from, from and to."""


def missing(scene: Scene, random: Generator) -> Change:
    """An irregular spot filled from the surroundings, in the direction where they differ most from it."""
    cover = blob(scene, random)
    inside = cover > 0.5
    turn = random.uniform(0, 2 * np.pi)
    target, most = scene.pixels, -1.0
    for angle in turn + np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False):
        reach = random.uniform(*REACH) * scene.extent
        shifted = _shifted(scene, reach * np.sin(angle), reach * np.cos(angle))
        if shifted is None:
            continue
        difference = float(np.abs(shifted - scene.pixels)[inside].mean()) if inside.any() else 0.0
        if difference > most:
            target, most = shifted, difference
    return Change(target, cover)


def _shifted(scene: Scene, down: float, right: float) -> NDArray[np.float32] | None:
    """The image beside the window, (rows, columns, channels); None where that is outside."""
    rows, columns = scene.window
    top, left = rows.start + round(down), columns.start + round(right)
    bottom, end = rows.stop + round(down), columns.stop + round(right)
    if top < 0 or left < 0 or bottom > scene.image.shape[0] or end > scene.image.shape[1]:
        return None
    return scene.image[top:bottom, left:end]
