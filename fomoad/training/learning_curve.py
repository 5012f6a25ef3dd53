"""Whether more photos would still help: detection of made defects, and how sure thresholds are, with fewer images.

Some samples are held out. Scorers are fitted to a quarter, a half and all of the others, and are asked for the same
made defects on the held-out images, each at the threshold that lets the same share of those images through.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.dataset import Split
from fomoad.detection import trials
from fomoad.features.store import Extract, FeatureSource
from fomoad.metadata import Interval, LearningCurve, LearningPoint
from fomoad.progress import log, step
from fomoad.scorers.scorer import Scorer
from fomoad.training.fit import Fit, Fitter, image_scores
from fomoad.training.thresholds import samples_needed, share_interval

Array = NDArray[np.float32]

SHARES: Final = (0.25, 0.5, 1.0)
HELD_OUT: Final = 0.2
FEWEST: Final = 40
"""With fewer samples, a fifth of them says too little."""
MOST: Final = 400
"""Images that take part at most."""
MOST_CELLS: Final = 60_000
"""Cells of theirs at most: of large images there are fewer."""
GAIN: Final = 0.02
"""More photos help if the second half of them raised the share of defects that are found by more than this."""
WIDTH: Final = 0.06
"""They help thresholds if the interval of false alarms is wider than this."""


def measure(
    split: Split,
    extract: Extract,
    fitter: Fitter[Fit],
    rate: float,
    seed: int,
    memory_limit: int,
    work_directory: Path | None = None,
    where: NDArray[np.bool_] | None = None,
) -> LearningCurve | None:
    """The curve of a training, said in the log; None where there are too few images.

    `rate` is the share of false alarms that defects are looked for at. `memory_limit` is in bytes. Defects are made
    `where` pixels (height, width) say, None: anywhere.
    """
    images = split.images
    assert images is not None
    numbers = np.unique(np.asarray(split.ids), return_inverse=True)[1]
    samples = int(numbers.max()) + 1
    if samples < FEWEST:
        log(f"Whether more photos would help is said for {FEWEST} samples or more; there are {samples}.")
        return None
    random = np.random.default_rng(seed)
    order = random.permutation(samples)
    per_image = max(1, round(int(np.prod(images.shape[:2])) / 64))
    per_sample = len(split) / samples
    most = int(min(MOST, MOST_CELLS / per_image) / per_sample)
    order = order[: max(FEWEST, most)]
    cut = round(HELD_OUT * len(order))
    held_out, others = np.flatnonzero(np.isin(numbers, order[:cut])), order[cut:]

    scorers: list[Scorer] = []
    counts: list[int] = []
    for share in SHARES:
        mine = np.isin(numbers, others[: round(share * len(others))])
        some = split.without(np.flatnonzero(~mine))
        assert some.images is not None
        with step(f"Fitting to {len(some)} of {len(split)} images, to see whether more would help"):
            part = FeatureSource(some.images, extract, memory_limit, work_directory)
            scorers.append(fitter.scorer(part, some.ids))
        counts.append(len(some.photos()))

    scored = {
        str(n): lambda inputs, _, scorer=scorer: image_scores(scorer.score(extract(inputs)))
        for n, scorer in enumerate(scorers)
    }
    made = trials.run(images, held_out, seed, scored, where)
    batches: list[list[Array]] = [[] for _ in scorers]
    for start in range(0, len(held_out), trials.BATCH):
        features = extract(images.rows(held_out[start : start + trials.BATCH]))
        for scores, scorer in zip(batches, scorers, strict=True):
            scores.append(image_scores(scorer.score(features)))
    good = [np.concatenate(scores) for scores in batches]
    if split.tiling:
        good = [split.tiling.highest(each) for each in good]
    found = [made.scores[str(n)] > np.quantile(each, 1 - rate) for n, each in enumerate(good)]
    points = [
        LearningPoint(images=count, found=float(flags.mean()), false_alarms=interval(round(share * samples), rate))
        for count, flags, share in zip(counts, found, SHARES, strict=True)
    ]
    curve = LearningCurve(
        rate=rate,
        defects=len(made.defects),
        held_out=len(good[0]),
        points=points,
        detection_rises=rises(found[-2], found[-1]),
        thresholds_unsure=unsure(points[-1].false_alarms),
    )
    log(sentence(curve))
    return curve


def rises(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> bool:
    """Whether more of the same defects (n,) are found after than before: by GAIN, and by more than they differ anyway.

    >>> rises(np.repeat([True, False], 50), np.repeat([True, False], [60, 40]))
    True
    """
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return bool(gained - lost > max(GAIN * len(after), (gained + lost) ** 0.5))


def unsure(false_alarms: Interval | None) -> bool:
    """Whether a threshold's share of false alarms is known too roughly."""
    return false_alarms is None or false_alarms.high - false_alarms.low > WIDTH


def interval(samples: int, rate: float) -> Interval | None:
    """Where the share of false alarms of 95 % of trainings with so many samples lies, at the conformal threshold.

    None where these are too few for the rate. See `thresholds.false_alarms`.
    """
    if samples < samples_needed(rate):
        return None
    passed = int(np.ceil((samples + 1) * (1 - rate) - 1e-6))
    return share_interval(samples + 1 - passed, passed)


def sentence(curve: LearningCurve) -> str:
    """What the curve says, in a line."""
    found = _listed([f"{point.found:.0%}" for point in curve.points])
    counts = _listed([str(point.images) for point in curve.points])
    last = curve.points[-1].false_alarms
    sure = "are not known" if last is None else f"lie between {last.low:.1%} and {last.high:.1%}"
    return (
        f"Fitted to {counts} photos, it finds {found} of the made defects at {100 * curve.rate:.3g} % false alarms, "
        f"which {sure} for a single training: {curve.advice}."
    )


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
