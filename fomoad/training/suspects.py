"""Training images that look like defects: found by scorers that did not see them, and left out of the fit.

A memory bank or a mixture that holds a defect calls it good from then on (Jiang et al., "SoftPatch: Unsupervised
Anomaly Detection with Noisy Data", NeurIPS 2022). SoftPatch weighs patches by how far they lie from others of the same
bank; here whole images are judged, by the held-out scores that thresholds need anyway, so that a person can look at
them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.dataset import Split
from fomoad.metadata import Suspect
from fomoad.progress import log, warn

OUTLYING: Final = 3.0
"""An image is left out where the logarithm of its score lies this many interquartile ranges above the third quartile:
Tukey's "far out" (Exploratory Data Analysis, 1977)."""
MOST: Final = 0.1
"""Share of the images that are left out at most without being asked to."""
FEWEST: Final = 20
"""With fewer images, none is left out without being asked to: their quartiles say too little."""
NAMED_SHARE: Final = 0.02
NAMED: Final = 5
SHOWN: Final = 10
"""So many images are named at least, or this share of them, however ordinary they look."""

Array = NDArray[np.float32]


def by_suspicion(held_out_scores: Array) -> NDArray[np.int64]:
    """All images (N,), the most suspicious first."""
    order: NDArray[np.int64] = np.argsort(-held_out_scores, kind="stable")
    return order


def outlying(held_out_scores: Array) -> int:
    """How many images are clearly unlike the others, by their held-out scores (N,)."""
    if len(held_out_scores) < FEWEST:
        return 0
    logarithms = np.log(np.maximum(held_out_scores.astype(np.float64), 1e-12))
    first, third = np.quantile(logarithms, [0.25, 0.75])
    far_out = int((logarithms > third + OUTLYING * (third - first)).sum())
    return min(far_out, int(MOST * len(held_out_scores)))


def left_out(held_out_scores: Array, contamination: float | None) -> NDArray[np.int64]:
    """The images to fit without, the most suspicious first: this share of them, or those clearly unlike for None.

    >>> left_out(np.array([1, 9, 2, 3], np.float32), 0.5)
    array([1, 3])
    """
    share = None if contamination is None else int(np.ceil(contamination * len(held_out_scores) - 1e-9))
    count = outlying(held_out_scores) if share is None else share
    return by_suspicion(held_out_scores)[:count]


def named(held_out_scores: Array, contamination: float | None) -> NDArray[np.int64]:
    """The images to look at, the most suspicious first: twice as many as are left out, and at least a few."""
    count = len(held_out_scores)
    twice = 2 * len(left_out(held_out_scores, contamination))
    return by_suspicion(held_out_scores)[: max(twice, min(NAMED, count), round(NAMED_SHARE * count))]


def name(held_out_scores: Array, contamination: float | None, split: Split) -> list[Suspect]:
    """The images to look at, also in the log: with a warning where some are left out."""
    gone = set(left_out(held_out_scores, contamination).tolist())
    photos = split.photos()
    suspected = [
        Suspect(
            row=row,
            id=photos.ids[row],
            file_name=photos.file_names[row],
            score=float(held_out_scores[row]),
            left_out=row in gone,
        )
        for row in named(held_out_scores, contamination).tolist()
    ]
    if gone:
        warn(
            f"{len(gone)} of {len(photos)} training images look like defects and are left out: "
            f"{_names([each for each in suspected if each.left_out])}. Look at them; --contamination 0 keeps all."
        )
    else:
        log(f"The training images most unlike the others: {_names(suspected)}. Are they good parts?")
    return suspected


def _names(suspected: list[Suspect]) -> str:
    names = [each.file_name or f"sample {each.id}" for each in suspected]
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
