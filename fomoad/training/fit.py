"""Fitting a scorer to a set of training images, and scoring those images as new ones would be."""

import functools
import operator
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fomoad.coreset.streaming import streamed_k_center
from fomoad.errors import UserError
from fomoad.features.store import Batch, FeatureSource
from fomoad.progress import log, step
from fomoad.scorers import gmm
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import Moments, Standardisation, standardisation
from fomoad.training.detector import Scorer
from fomoad.training.thresholds import folds

Array = NDArray[np.float32]

FOLDS: Final = 5
"""Parts that the images are split into for scores by a mixture that was not fitted on them."""
MAX_CELLS: Final = 6_000
"""The mixture is fitted, and the whitening found, on at most this many cells, chosen uniformly: more tell other images
no better apart."""
SAMPLE_SHARE: Final = 1 / 4
"""Share of the memory limit that the sample takes which patches are selected from; twice as much is held at times."""
BANK_SHARE: Final = 1 / 32
"""Share of the memory limit that a memory bank takes at most: an eighth of the sample that it is selected from."""
MERGED_BYTES: Final = 32 * 2**20
"""Features that are scored at a time: enough for many patches to meet a neighbourhood of the memory bank together."""
MAX_BANK: Final = 20_000
"""Entries of a memory bank at most: with 192 features, a float32 model of 15 MB."""


@dataclass(frozen=True)
class Fit:
    """A scorer and the image scores (N,) of its training images.

    `train_scores` are what the threshold of the stock rule is the highest of; `held_out_scores` come from scorers
    that never saw the image. A fit to other features of the same images (those of int8 kernels) can start from
    this one by what it keeps: a mixture's `folds`, the mixtures that held a fold of the images out; or the memory
    bank's `patches` (M,), numbered through all images.
    """

    scorer: Scorer
    train_scores: Array
    held_out_scores: Array
    folds: tuple[GmmScorer, ...] = ()
    patches: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class _Cells:
    """Feature vectors (n, D), the place (n,) in the grid and the image (n,) that each was taken from."""

    features: Array
    places: NDArray[np.int64]
    images: NDArray[np.int64]


def fit_gmm(source: FeatureSource, groups: list[str], components: int, seed: int, start: Fit | None = None) -> Fit:
    """Fit a mixture, and one more for each fold of the images, which scores that fold.

    With `start`, a fit to like features of the same images, each begins at its counterpart there.
    """
    _numbered(groups)
    fold_of = folds(groups, FOLDS, seed)
    moments, cells = _sample_cells(source, fold_of, seed)

    def fit_without(fold: int | None) -> GmmScorer:
        begin = _mixture(start) if fold is None else start.folds[fold] if start else None
        return _fit_mixture(*_without(fold, fold_of, moments, cells), components, seed, begin)

    with (
        step(f"Fitting a mixture to {len(cells.features)} cells, and {len(moments)} to parts of them, for thresholds"),
        threadpool_limits(1),  # else a fit that ends would give the others' products more threads, and other sums
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        scorer, *held_out = pool.map(fit_without, [None, *range(len(moments))])
    train_scores, held_out_scores = (np.empty(len(source), np.float32) for _ in range(2))
    for rows, features in source.batches("Scoring training images"):
        train_scores[rows] = _image_scores(scorer.score(features))
        for fold, other in enumerate(held_out):
            mine = np.flatnonzero(fold_of[rows] == fold)
            if len(mine):
                held_out_scores[rows.start + mine] = _image_scores(other.score(features[mine]))
    return Fit(scorer, train_scores, held_out_scores, folds=tuple(held_out))


def fit_patchcore(
    source: FeatureSource,
    groups: list[str],
    sampling_ratio: float,
    k: int,
    seed: int,
    memory_limit: int,
    window: int = 1,
    start: Fit | None = None,
) -> Fit:
    """Select a memory bank of patches, then score every image without the bank entries of its own sample.

    Features are then standardised by the images of the other folds, so that these scores are held out: nothing that
    comes of an image counts. They tend to be too high rather than too low: nothing takes the removed entries' place.
    With `start`, a float fit, the features are those of int8 kernels for the same images: the bank is made of the
    same patches as there, and rounded to int8 as well.
    """
    group_of = _numbered(groups)
    fold_of = folds(groups, FOLDS, seed)
    moments, cells = _sample_cells(source, fold_of, seed)
    everyone, *others = (
        _standardisation(*_without(fold, fold_of, moments, cells), start) for fold in (None, *range(len(moments)))
    )
    grid = everyone.places
    if start is None or start.patches is None:
        patches = _select_patches(source, everyone, grid, sampling_ratio, seed, memory_limit)
    else:
        patches = start.patches
    owners = group_of[patches // grid]
    if (owners == owners[0]).all():
        raise UserError(
            f"All entries of the memory bank ({len(patches)}) are of one sample, which nothing is left to score by: "
            "raise --sampling-ratio, or add images that differ."
        )
    gathered = _gather(source, patches, grid)

    def scorer_of(standardise: Standardisation) -> PatchCoreScorer:
        bank = standardise.at(patches % grid, gathered)
        scorer = PatchCoreScorer(standardise, bank, owners, min(k, len(bank)), window)
        return scorer if start is None else scorer.rounded()

    held_out = [scorer_of(standardise) for standardise in others]
    scores = _held_out_scores(source, held_out, fold_of, group_of)
    return Fit(scorer_of(everyone), scores, scores, patches=patches)


def _held_out_scores(
    source: FeatureSource, scorers: list[PatchCoreScorer], fold_of: NDArray[np.int64], group_of: NDArray[np.int64]
) -> Array:
    """The score (N,) of each image by the scorer of its fold, without the bank entries of its own sample."""
    scores = np.empty(len(source), np.float32)

    def score(rows: slice, features: Array, fold: int) -> None:
        mine = np.flatnonzero(fold_of[rows] == fold)
        scores[rows.start + mine] = scorers[fold].held_out_scores(features[mine], group_of[rows][mine])

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:  # a thread for a fold, not for a product
        for rows, features in _merged(source.batches("Scoring training images")):
            list(pool.map(functools.partial(score, rows, features), range(len(scorers))))
    return scores


def _merged(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, as many together as are at least MERGED_BYTES of features."""
    pending: list[Batch] = []
    for batch in batches:
        pending.append(batch)
        if sum(features.nbytes for _, features in pending) >= MERGED_BYTES:
            yield _joined(pending)
            pending = []
    if pending:
        yield _joined(pending)


def _joined(batches: list[Batch]) -> Batch:
    return slice(batches[0][0].start, batches[-1][0].stop), np.concatenate([features for _, features in batches])


def _select_patches(
    source: FeatureSource, standardise: Standardisation, grid: int, ratio: float, seed: int, memory_limit: int
) -> NDArray[np.int64]:
    """The number (M,) of each of the bank's entries among all patches, `grid` to an image."""
    patches = len(source) * grid
    most = min(MAX_BANK, int(memory_limit * BANK_SHARE) // standardise.gain[0, 0].nbytes)
    count = min(max(1, round(ratio * patches)), most)
    if count == most:
        log(f"The memory bank is limited to {most} of {patches} patches.")
    held = int(memory_limit * SAMPLE_SHARE) // standardise.gain[0, 0].nbytes

    def read() -> Iterator[Array]:
        for _, features in source.batches("Reading features"):
            yield standardise(features).reshape(-1, features.shape[-1])

    with step(f"Selecting {count} of {patches} patches for the memory bank"):
        return streamed_k_center(read, count, seed, held)


def _gather(source: FeatureSource, patches: NDArray[np.int64], grid: int) -> Array:
    """The features (M, D) of the patches of these numbers."""
    gathered: list[tuple[NDArray[np.int64], Array]] = []
    for rows, features in source.batches("Reading features"):
        mine = np.flatnonzero((patches >= rows.start * grid) & (patches < rows.stop * grid))
        gathered.append((mine, features.reshape(-1, features.shape[-1])[patches[mine] - rows.start * grid]))
    places = np.concatenate([places for places, _ in gathered])
    return np.concatenate([features for _, features in gathered])[np.argsort(places)]


def _sample_cells(source: FeatureSource, fold_of: NDArray[np.int64], seed: int) -> tuple[list[Moments], _Cells]:
    """The moments of each fold's features, and at most MAX_CELLS feature vectors, as many from each image."""
    random = np.random.default_rng(seed)
    moments: dict[int, Moments] = {}
    chosen, places, images = [], [], []
    for rows, features in source.batches("Extracting features"):
        for fold in np.unique(fold_of[rows]):
            mine = Moments.of(features[fold_of[rows] == fold])
            moments[fold] = moments[fold] + mine if fold in moments else mine
        count, per_image, dimensions = len(features), features.shape[1] * features.shape[2], features.shape[3]
        quota = _quota(rows, len(source), per_image)
        cells = features.reshape(count, per_image, dimensions)
        for row, (grid, take) in enumerate(zip(cells, quota, strict=True), rows.start):
            picks = random.permutation(per_image)[:take]
            chosen.append(grid[picks])
            places.append(picks)
            images.append(np.full(take, row))
    sampled = _Cells(np.concatenate(chosen), np.concatenate(places), np.concatenate(images))
    return [moments[fold] for fold in sorted(moments)], sampled


def _quota(rows: slice, images: int, per_image: int) -> NDArray[np.int64]:
    """How many cells to take from each image of a batch, so that MAX_CELLS are spread evenly over all images."""
    total = min(MAX_CELLS, images * per_image)
    edges = np.arange(rows.start, rows.stop + 1) * total // images
    return np.diff(edges)


def _without(
    fold: int | None, fold_of: NDArray[np.int64], moments: list[Moments], cells: _Cells
) -> tuple[_Cells, list[Moments]]:
    """The cells and the moments of the images that are in any other fold; of all images for None."""
    if fold is None:
        return cells, moments
    kept = fold_of[cells.images] != fold
    others = _Cells(cells.features[kept], cells.places[kept], cells.images[kept])
    return others, moments[:fold] + moments[fold + 1 :]


def _fit_mixture(
    cells: _Cells,
    moments: list[Moments],
    components: int,
    seed: int,
    start: GmmScorer | None,
) -> GmmScorer:
    """Fit a mixture to cells, standardised by themselves and the moments of the images that they are from."""
    standardise = _standardisation(cells, moments, start)
    scaled = standardise.at(cells.places, cells.features)
    return gmm.fit(scaled, standardise, components, seed, start)


def _standardisation(cells: _Cells, moments: list[Moments], start: GmmScorer | Fit | None) -> Standardisation:
    """The standardisation by the moments of some images and cells of them.

    With `start`, the features are those of int8 kernels, and what would take much flash is rounded to int8 as well.
    """
    scaling = standardisation(functools.reduce(operator.add, moments))
    whitening = scaling.whitened(cells.places, cells.features)
    return whitening if start is None else whitening.rounded()


def _numbered(groups: list[str]) -> NDArray[np.int64]:
    """The number (N,) of the sample that each image is of.

    Raises UserError where there is but one: nothing could be held out.
    """
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    if numbers.max() == 0:
        raise UserError("All training images are of one sample: images of at least two good parts are needed.")
    samples: NDArray[np.int64] = numbers.astype(np.int64)
    return samples


def _mixture(fit: Fit | None) -> GmmScorer | None:
    return fit.scorer if fit and isinstance(fit.scorer, GmmScorer) else None


def _image_scores(grids: Array) -> Array:
    scores: Array = grids.max(axis=(1, 2))
    return scores
