"""The colours of scores, the same in the report and in the overlays that `fomoad predict` draws.

A colour says how a score compares with the threshold: from blue and nearly clear at 0 to red and strong at
FULL_AT thresholds. So one image alone has its colours, and they mean the same for every model.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FULL_AT: Final = 1.5
"""How many thresholds high a score must be for the last colour."""

LEVELS: Final = 64

_STOPS: Final = (0.0, 1 / FULL_AT, 1.0)
_RGB: Final = ((30, 90, 240), (150, 50, 190), (235, 20, 35))
"""Blue, violet at the threshold, red: told apart with every common colour blindness, and opacity says it again."""

PASSED_OPACITY: Final = 0.5
"""How strong the colour of a score below the threshold is, as a share of what it is in the palette."""

_FAINTEST, _STRONGEST = 0.1, 0.7


def palette() -> NDArray[np.uint8]:
    """Red, green, blue and opacity of each level, (LEVELS, 4)."""
    levels = np.linspace(0, 1, LEVELS)
    channels = [np.interp(levels, _STOPS, values) for values in zip(*_RGB, strict=True)]
    opacity = 255 * (_FAINTEST + (_STRONGEST - _FAINTEST) * levels**1.3)
    table: NDArray[np.uint8] = np.round(np.stack([*channels, opacity], axis=1)).astype(np.uint8)
    return table


def colours(scores: ArrayLike, threshold: float) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of scores of any shape (...): (..., 4). A threshold of 0 makes all red.

    Scores below the threshold are fainter by PASSED_OPACITY, so that flagged cells stand out.
    """
    values = np.asarray(scores, np.float64)
    share = values / (FULL_AT * threshold) if threshold > 0 else np.ones_like(values)
    levels = np.clip(np.floor(share * LEVELS), 0, LEVELS - 1).astype(np.int64)
    coloured: NDArray[np.uint8] = palette()[levels]
    passed = values < threshold
    coloured[passed, 3] = np.round(PASSED_OPACITY * coloured[passed, 3])
    return coloured
