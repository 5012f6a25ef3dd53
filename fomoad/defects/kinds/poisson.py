"""A piece of a good image blended in without a seam: a dent, a bulge, a structure that grew wrong."""

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from fomoad.defects.kinds.pieces import piece
from fomoad.defects.scene import Change, Scene
from fomoad.defects.shapes import blob

INSIDE: Final = 0.5
"""Cover from which a pixel is part of the piece."""


def poisson(scene: Scene, random: Generator) -> Change:
    """A piece of the donor with the image's own colours at its edge (Schlueter et al., NSA, ECCV 2022).

    Inside, the gradients are the stronger ones of image and piece (Perez et al., Poisson Image Editing, 2003, eq. 12).
    """
    inside = blob(scene, random) >= INSIDE
    inside[[0, -1], :] = inside[:, [0, -1]] = False  # the edge is what the blending starts from
    blended = blend(scene.pixels, piece(scene, random), inside)
    return Change(np.clip(blended, 0, 255), inside.astype(np.float32))


def blend(around: NDArray[np.float32], source: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Solve Poisson's equation inside: gradients mixed from both images, values of `around` at the border.

    `around` and `source` are (rows, columns, channels), `inside` (rows, columns), False along the array's edge.
    """
    rows, columns = np.nonzero(inside)
    count = len(rows)
    blended = around.copy()
    if not count:
        return blended
    number = np.full(inside.shape, -1)
    number[rows, columns] = np.arange(count)
    right_side = np.zeros((count, around.shape[2]))
    entries = [(np.arange(count), np.arange(count), np.full(count, 4.0))]
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        near = rows + down, columns + right
        own, other = around[rows, columns] - around[near], source[rows, columns] - source[near]
        right_side += np.where(np.abs(own) > np.abs(other), own, other)
        neighbour = number[near]
        known = neighbour < 0
        right_side[known] += around[near][known]
        entries.append((np.flatnonzero(~known), neighbour[~known], np.full(int((~known).sum()), -1.0)))
    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    laplacian = sparse.csc_matrix((value, (row, column)), shape=(count, count))
    blended[rows, columns] = splu(laplacian).solve(right_side)
    return blended
