"""Trials to curves, and to the words for them."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad.detection.trials import CONTRASTS, SIZES, SMALLEST, Trial
from fomoad.metadata import Detection, DetectionCurve, MadeDefects
from fomoad.metrics import detection_probability
from fomoad.metrics.detection_probability import PROBABILITY

ALL: Final = "all"
SAID: Final = "strong"
"""The contrast that the sentence speaks of."""
LEVELS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Probabilities that a curve's bound is given for."""
FEWEST_SAID: Final = 6
"""Made defects of a kind below which nothing is said of it."""
NAMES: Final = {
    "cut_paste": "foreign pieces",
    "poisson": "dents",
    "texture": "foreign textures",
    "scratch": "scratches",
    "stain": "stains",
    "missing": "missing pieces",
    "blur": "blurred spots",
    "colour": "colour changes",
}
"""What a user reads for the kinds of made defect."""


def describe(
    trials: Sequence[Trial],
    scores: NDArray[np.float32],
    good_scores: NDArray[np.float32],
    threshold: float,
    side: int,
    split: Literal["train", "test"],
) -> Detection:
    """Which defects are found at a threshold, and the curves over their size for each kind and contrast.

    `scores` (n,) are those of the trials, `good_scores` (N,) those of all good images, by row in their file. A defect
    on an image that is flagged without it says nothing and is left out.
    """
    counted = [n for n, trial in enumerate(trials) if good_scores[trial.image] < threshold]
    kept = [trials[n] for n in counted]
    found = scores[counted] >= threshold
    groups = [(kind, contrast) for kind in (ALL, *NAMES) for contrast in (ALL, *CONTRASTS)]
    return Detection(
        threshold=threshold,
        images=len({trial.image for trial in trials}),
        split=split,
        false_alarm_rate=float((good_scores >= threshold).mean()),
        smallest=max(SMALLEST, SIZES[0] * side),
        largest=SIZES[1] * side,
        side=side,
        levels=list(LEVELS),
        curves=[_curve(kept, found, kind, contrast) for kind, contrast in groups],
        defects=MadeDefects(
            kind=[trial.kind for trial in kept],
            contrast=[trial.contrast for trial in kept],
            size=[round(trial.size, 2) for trial in kept],
            row=[round(trial.middle[0], 1) for trial in kept],
            column=[round(trial.middle[1], 1) for trial in kept],
            found=found.tolist(),
        ),
    )


def fitted(sizes: NDArray[np.float64], found: NDArray[np.bool_], kind: str, contrast: str) -> DetectionCurve:
    """The curve of defects of these sizes (n,), found (n,) or not."""
    curve = detection_probability.fit(sizes, found)
    counts = {"kind": kind, "contrast": contrast, "made": len(found), "found": int(found.sum())}
    if curve is None:
        return DetectionCurve(**counts, intercept=None, slope=None, a90=None, a90_95=None)
    bounds = {level: detection_probability.upper_bound(curve, sizes, found, level) for level in LEVELS}
    return DetectionCurve(
        **counts,
        intercept=curve.intercept,
        slope=curve.slope,
        a90=curve.size_at(PROBABILITY),
        a90_95=bounds[PROBABILITY],
        bound=list(bounds.values()),
    )


def sentence(detection: Detection) -> str:
    """What is found nine times in ten of the strong made defects, in one line.

    "Finds 9 of 10 made stains of 8 pixels, foreign pieces of 11; blurred spots not reliably up to 24 pixels (strong
    ones, at 0.4 % false alarms)."
    """
    curves = {curve.kind: curve for curve in detection.curves if curve.contrast == SAID}
    sized = {kind: size for kind in NAMES if (size := _found_from(curves[kind], detection)) is not None}
    missed = [NAMES[kind] for kind in NAMES if kind not in sized and curves[kind].made >= FEWEST_SAID]
    found = [f"{NAMES[kind]} of {_pixels(size, detection)}" for kind, size in sorted(sized.items(), key=_second)]
    if found:
        found[0] = f"{found[0]} pixels"
    parts = [f"finds 9 of 10 made {', '.join(found)}"] if found else []
    parts += [f"{', '.join(missed)} not reliably up to {detection.largest:.0f} pixels"] if missed else []
    words = "; ".join(parts) or f"finds {curves[ALL].found} of {curves[ALL].made} made defects"
    return f"{words[0].upper()}{words[1:]} (strong ones, at {detection.false_alarm_rate:.1%} false alarms)."


def _second(item: tuple[str, float]) -> float:
    return item[1]


def _found_from(curve: DetectionCurve, detection: Detection) -> float | None:
    """The smallest size in pixels that is found nine times in ten, None where not even the largest made is."""
    if curve.made < FEWEST_SAID:
        return None
    if curve.found == curve.made:
        return detection.smallest
    return curve.a90 if curve.a90 is not None and curve.a90 <= detection.largest else None


def _pixels(size: float, detection: Detection) -> str:
    return f"{size:.0f}" if size > detection.smallest else f"{detection.smallest:.0f} or fewer"


def _curve(trials: Sequence[Trial], found: NDArray[np.bool_], kind: str, contrast: str) -> DetectionCurve:
    mine = [n for n, trial in enumerate(trials) if kind in (ALL, trial.kind) and contrast in (ALL, trial.contrast)]
    return fitted(np.array([trials[n].size for n in mine]), found[mine], kind, contrast)
