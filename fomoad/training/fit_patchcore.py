"""Fitting PatchCore: selecting a memory bank, and scoring each image without its own entries."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.coreset.readings import Part
from fomoad.coreset.streaming import streamed_k_center
from fomoad.errors import UserError
from fomoad.features.store import Batch, Source
from fomoad.machine import processors
from fomoad.progress import log, step
from fomoad.scorers.counted import Counted, at_places
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import Scale, Standardisation
from fomoad.training import sampling
from fomoad.training.fit import Fit, held_out_scores
from fomoad.training.sampling import Sample

Array = NDArray[np.float32]
S = TypeVar("S")

SAMPLE_SHARE: Final = 1 / 4
"""Share of the memory limit that the sample takes which patches are selected from; twice as much is held at times."""
BANK_SHARE: Final = 1 / 32
"""Share of the memory limit that a memory bank takes at most: an eighth of the sample that it is selected from."""
MERGED_BYTES: Final = 32 * 2**20
"""Features that are scored at a time: enough for many patches to meet a neighbourhood of the memory bank together."""
MAX_BANK: Final = 20_000
"""Entries of a memory bank at most: with 192 features, a float32 model of 15 MB."""
BIAS_BYTES: Final = 4
"""An entry takes these and a byte a feature, so that as many fewer as that makes are always enough."""
MIN_BANK: Final = 10
"""A memory bank does not shrink to fewer entries than this."""


@dataclass(frozen=True)
class PatchCoreFit(Fit):
    """A memory bank, and the `patches` (M,) that it is made of, numbered through all images, in the order of picks."""

    scorer: PatchCoreScorer
    patches: NDArray[np.int64]


@dataclass(frozen=True)
class PatchCoreFitter:
    """Selects a memory bank of patches, then scores every image without the bank entries of its own sample.

    Features are then standardised by the images of the other folds, so that these scores are held out: nothing that
    comes of an image counts. They tend to be too high rather than too low: nothing takes the removed entries' place.
    `memory_limit` is in bytes.
    """

    sampling_ratio: float
    k: int
    window: int
    scale: Scale
    memory_limit: int
    seed: int
    counted: Counted | None = None

    def fit(self, source: Source, sample_ids: Sequence[str]) -> PatchCoreFit:
        """Fit to float features."""
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        standardisations = _standardisations(sample, self.scale)
        patches = self._select(source, standardisations[0])
        scorers = self._scorers(source, samples, standardisations, patches)
        return _scored(source, sample, samples, scorers, patches)

    def scorer(self, source: Source, sample_ids: Sequence[str], rounded: bool = False) -> PatchCoreScorer:
        """Select a memory bank from the features of all images."""
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        with threadpool_limits(1):
            standardise = sampling.whiten(*sample.without(None), self.scale, rounded)
        [scorer] = self._scorers(source, samples, [standardise], self._select(source, standardise))
        return scorer

    def refit(self, source: Source, sample_ids: Sequence[str], start: PatchCoreFit) -> PatchCoreFit:
        """Fit to int8 features: the bank is made of the same patches as that of `start`."""
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        standardisations = _standardisations(sample, self.scale, rounded=True)
        scorers = self._scorers(source, samples, standardisations, start.patches)
        return _scored(source, sample, samples, scorers, start.patches)

    def shrink(self, source: Source, sample_ids: Sequence[str], fit: PatchCoreFit, excess: int) -> PatchCoreFit | None:
        """The fit whose bank is made of the first picks only: greedy picks are nested."""
        kept = len(fit.patches) - math.ceil(excess / (fit.scorer.bank.shape[1] + BIAS_BYTES))
        if kept < max(self.k, MIN_BANK):
            return None
        log(f"The memory bank shrinks from {len(fit.patches)} to {kept} entries to fit into the flash.")
        samples = sampling.number_samples(sample_ids)
        sample = sampling.draw(source, sample_ids, self.seed, self.counted)
        scorers = self._scorers(source, samples, _standardisations(sample, self.scale), fit.patches[:kept])
        return _scored(source, sample, samples, scorers, fit.patches[:kept])

    def _select(self, source: Source, standardise: Standardisation) -> NDArray[np.int64]:
        """The number (M,) of each of the bank's entries among all patches."""
        matrix = Patches(source, standardise, self.counted)
        patches = len(matrix)
        row_bytes = 4 * standardise.dimensions
        most = min(MAX_BANK, int(self.memory_limit * BANK_SHARE) // row_bytes)
        count = min(max(1, round(self.sampling_ratio * patches)), most)
        if count == most:
            log(f"The memory bank is limited to {most} of {patches} patches.")

        with step(f"Selecting {count} of {patches} patches for the memory bank"):
            held = int(self.memory_limit * SAMPLE_SHARE) // row_bytes
            picks = streamed_k_center(matrix, count, self.seed, held)
        if self.counted is None:
            return picks
        places = np.flatnonzero(self.counted.places)
        numbers: NDArray[np.int64] = picks // len(places) * standardise.positions + places[picks % len(places)]
        return numbers

    def _scorers(
        self,
        source: Source,
        samples: NDArray[np.int64],
        standardisations: list[Standardisation],
        patches: NDArray[np.int64],
    ) -> list[PatchCoreScorer]:
        """A scorer with a bank of these patches for each standardisation.

        Raises UserError where all entries are of one sample, which nothing is left to score by.
        """
        positions = standardisations[0].positions
        owners = samples[patches // positions]
        if (owners == owners[0]).all():
            raise UserError(
                f"All entries of the memory bank ({len(patches)}) are of one sample, which nothing is left to score "
                "by: raise --sampling-ratio, or add images that differ."
            )
        gathered = _gather(source, patches, positions)
        k = min(self.k, len(patches))
        with threadpool_limits(1):
            return [
                PatchCoreScorer(
                    each, each.at(patches % positions, gathered), owners, k, self.window, self.counted
                ).rounded()
                for each in standardisations
            ]


def _standardisations(sample: Sample, scale: Scale, rounded: bool = False) -> list[Standardisation]:
    """By all images, then by those of all folds but one."""
    with threadpool_limits(1):
        return [sampling.whiten(*sample.without(fold), scale, rounded) for fold in (None, *range(sample.folds))]


@dataclass(frozen=True)
class Patches:
    """All patches of the images that are `counted` (None: all are), standardised, as a matrix."""

    source: Source
    standardise: Standardisation
    counted: Counted | None

    def __len__(self) -> int:
        return len(self.source) * _per_image(self.standardise, self.counted)

    def read(self, part: Part[S]) -> Iterator[S]:
        """See fomoad.coreset.streaming.Matrix."""
        return self.source.map(OfPatches(self.standardise, self.counted, part), "Reading features")


@dataclass(frozen=True)
class OfPatches(Generic[S]):
    """A step that gives a shard's patches to a reading."""

    standardise: Standardisation
    counted: Counted | None
    part: Part[S]

    def __call__(self, batches: Iterator[Batch]) -> S:
        """What the reading finds."""
        per_image, dimensions = _per_image(self.standardise, self.counted), self.standardise.dimensions
        return self.part(
            (rows.start * per_image, at_places(self.standardise(features), self.counted).reshape(-1, dimensions))
            for rows, features in batches
        )


def _per_image(standardise: Standardisation, counted: Counted | None) -> int:
    """How many patches of an image are counted."""
    return standardise.positions if counted is None else int(counted.places.sum())


@dataclass(frozen=True)
class Gather:
    """A step that takes the features of the patches of these numbers (M,), ascending, `positions` to an image."""

    patches: NDArray[np.int64]
    positions: int

    def __call__(self, batches: Iterator[Batch]) -> Array:
        """The features (m, D) of those in a shard."""
        gathered = []
        for rows, features in batches:
            start, stop = rows.start * self.positions, rows.stop * self.positions
            first, last = np.searchsorted(self.patches, (start, stop))
            gathered.append(features.reshape(-1, features.shape[-1])[self.patches[first:last] - start])
        return np.concatenate(gathered)


@dataclass(frozen=True)
class Unseen:
    """Scores images by the scorer that held their fold out, without the bank entries of their own samples.

    `fold_of` (N,) and `samples` (N,) are the fold and the sample of each image.
    """

    fold_of: NDArray[np.int64]
    samples: NDArray[np.int64]
    held_out: tuple[PatchCoreScorer, ...]

    def __call__(self, features: Array, images: NDArray[np.int64]) -> Array:
        """See ScoreUnseen."""
        scores = np.empty(len(features), np.float32)

        def score(fold: int) -> None:
            mine = np.flatnonzero(self.fold_of[images] == fold)
            scores[mine] = self.held_out[fold].held_out_scores(features[mine], self.samples[images[mine]])

        with threadpool_limits(1), ThreadPoolExecutor(processors()) as pool:  # a thread for a fold, not a product
            list(pool.map(score, range(len(self.held_out))))
        return scores


def _scored(
    source: Source,
    sample: Sample,
    samples: NDArray[np.int64],
    scorers: list[PatchCoreScorer],
    patches: NDArray[np.int64],
) -> PatchCoreFit:
    """Score each image by the scorer that held its fold out, without the bank entries of its own sample."""
    scorer, *held_out = scorers
    unseen = Unseen(sample.fold_of, samples, tuple(held_out))
    return PatchCoreFit(scorer, held_out_scores(source, unseen, MERGED_BYTES), samples, unseen, patches)


def _gather(source: Source, patches: NDArray[np.int64], positions: int) -> Array:
    """The features (M, D) of the patches of these numbers, `positions` to an image."""
    order = np.argsort(patches)
    gathered = np.concatenate(list(source.map(Gather(patches[order], positions), "Reading features")))
    return gathered[np.argsort(order)]
