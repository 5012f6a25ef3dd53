"""The contract of fitting a scoring function to training images, and to what int8 kernels make of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fomoad.data.tiles import Tiling
from fomoad.features.store import Batch, Source
from fomoad.scorers.scorer import Scorer

Array = NDArray[np.float32]


class ScoreUnseen(Protocol):
    """Scores versions of training images by scorers that never saw those images."""

    def __call__(self, features: Array, images: NDArray[np.int64]) -> Array:
        """Image scores (n,) of features (n, rows, columns, D) of versions of the images of these numbers (n,)."""


@dataclass(frozen=True)
class Scores:
    """A step that scores training images, so many together as are at least `least_bytes` of features."""

    score_unseen: ScoreUnseen
    least_bytes: int = 0

    def __call__(self, batches: Iterator[Batch]) -> Array:
        """The scores (n,) of a shard's images."""
        scores = []
        for rows, features in _merged(batches, self.least_bytes):
            scores.append(self.score_unseen(features, np.arange(rows.start, rows.stop)))
        return np.concatenate(scores)


@dataclass(frozen=True)
class Scored:
    """A scorer, and the scores (N,) of its training images by scorers that never saw the image's sample.

    `samples` (N,) number the samples that the images show. Model files are made of it. Of images that are tiles, N are
    the photos (see `by_photo`).
    """

    scorer: Scorer
    held_out_scores: Array
    samples: NDArray[np.int64]

    @property
    def promised(self) -> Array:
        """The scores (n,) of the images that the rule `max` promises to let pass."""
        return self.held_out_scores

    @property
    def highest(self) -> float:
        """The score that the rule `max` takes."""
        return float(self.promised.max())


@dataclass(frozen=True)
class Fit(Scored):
    """A fit. `score_unseen` gives scores of changed versions of its images, by the scorers that never saw them."""

    score_unseen: ScoreUnseen


F = TypeVar("F", bound=Fit)


def by_photo(fit: F, tiling: Tiling | None) -> F:
    """The fit whose held-out scores are those of photos, where the images are tiles of them.

    Thresholds, and what they promise, are then about photos. `score_unseen` still takes the numbers of tiles.
    """
    if tiling is None:
        return fit
    held_out_scores = tiling.highest(fit.held_out_scores)
    return replace(fit, held_out_scores=held_out_scores, samples=fit.samples[:: tiling.count])


class Fitter(Protocol[F]):
    """How one scoring function is fitted.

    `sample_ids` (N,) name the sample that each image shows: images of one sample are held out together.
    """

    def fit(self, source: Source, sample_ids: Sequence[str]) -> F:
        """Fit to float features."""

    def scorer(self, source: Source, sample_ids: Sequence[str], rounded: bool = False) -> Scorer:
        """The scorer of `fit` alone, without the scores of the training images: where no threshold is asked for.

        With `rounded`, one that computes as int8 kernels do.
        """

    def refit(self, source: Source, sample_ids: Sequence[str], start: F) -> F:
        """Fit a scorer that computes as int8 kernels do to the int8 features of the same images, starting from `start`.

        Fitted from nothing, a mixture ends in another optimum and a memory bank takes other patches, which moves
        scores by more than the kernels' rounding does.
        """

    def shrink(self, source: Source, sample_ids: Sequence[str], fit: F, excess: int) -> F | None:
        """A smaller fit to float features whose int8 model takes `excess` bytes less; None where none is left."""


def image_scores(grids: Array) -> Array:
    """The highest score (N,) of each grid (N, rows, columns)."""
    scores: Array = grids.max(axis=(1, 2))
    return scores


def held_out_scores(source: Source, score_unseen: ScoreUnseen, least_bytes: int = 0) -> Array:
    """The scores (N,) of all training images, so many at a time as are at least `least_bytes` of features."""
    return np.concatenate(list(source.map(Scores(score_unseen, least_bytes), "Scoring training images")))


def _merged(batches: Iterator[Batch], least_bytes: int) -> Iterator[Batch]:
    """The same batches, as many together as are at least so many bytes of features."""
    pending: list[Batch] = []
    for batch in batches:
        pending.append(batch)
        if sum(features.nbytes for _, features in pending) >= least_bytes:
            yield _joined(pending)
            pending = []
    if pending:
        yield _joined(pending)


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return slice(batches[0][0].start, batches[-1][0].stop), np.concatenate([features for _, features in batches])
