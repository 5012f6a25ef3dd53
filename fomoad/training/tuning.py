"""Before the fit: which recipe finds most defects that code has made on the good images themselves.

Each candidate is fitted as in a training. Every good image is scored by a scorer that was fitted without its fold, and
so is every defect made on it; the figure is the AUROC of the made defects. Made defects rank recipes only roughly, so
the most robust one stays unless another is ahead by MARGIN (docs/experiments/quality.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.dataset import Images, images_in_memory
from fomoad.data.ignore_mask import IgnoreMask
from fomoad.data.pixel_images import StoredPixels
from fomoad.defects import made_set
from fomoad.errors import UserError
from fomoad.features.extractor import extractor
from fomoad.features.pooling import Pooling, averaged
from fomoad.features.store import Batch, Extract, FeatureSource, unchanged
from fomoad.geometry import CellGeometry
from fomoad.metadata import TriedRecipe, Tuning
from fomoad.metrics import image_metrics
from fomoad.progress import log, step
from fomoad.settings import ScoringFunction, TrainSettings
from fomoad.training import fitters, recipes
from fomoad.training.models import build_features
from fomoad.training.recipes import Recipe, Shape
from fomoad.training.training_data import TrainingData

Array = NDArray[np.float32]

FEWEST_IMAGES: Final = 30
"""With fewer good images, nothing is tried: figures of so few would be chance."""
MOST_IMAGES: Final = 240
MOST_CELLS: Final = 60_000
"""Candidates are judged on at most so many good images and on at most so many cells of them, but on FEWEST_IMAGES."""
PER_IMAGE: Final = 2
MOST_DEFECTS: Final = 240
FEWEST_DEFECTS: Final = 20
PIXELS_SHARE: Final = 1 / 8
"""Share of the memory limit that the images with made defects take at most."""
SIZES: Final = (1 / 16, 1 / 4)
"""Lengths of made defects as shares of the image's shorter side: smaller ones rank recipes worse."""
MARGIN: Final = 0.02
"""A recipe is taken in place of the most robust one if its AUROC of made defects is higher by more than this."""
TIE: Final = 0.005
"""Of recipes this close to the best, the first in the order of CANDIDATES is taken: the nearest to the most robust."""


def tune(
    settings: TrainSettings, data: TrainingData, work_directory: Path | None = None
) -> tuple[TrainSettings, Tuning | None]:
    """The settings with a recipe for what they leave open, and how it was found; None where nothing was tried."""
    robust = recipes.with_recipe(settings, recipes.robust(settings, data.images.shape))
    candidates = recipes.candidates(settings, data.images.shape)
    if settings.tune == "off" or len(candidates) < 2:
        return robust, None
    default = f"Features by default: {candidates[0].words(settings.scorer())}"
    if len(data.images) < FEWEST_IMAGES:
        log(f"{default}. Choosing them by made defects takes {FEWEST_IMAGES} images, there are {len(data.images)}.")
        return robust, None
    try:
        found = _try(settings, data, candidates, work_directory)
    except UserError as error:
        log(f"{default}. Others cannot be tried: {error}")
        return robust, None
    if found is None:
        log(f"{default}. Too few defects could be made on the images to choose by.")
        return robust, None
    chosen = candidates[choose([each.auroc for each in found.tried])]
    return recipes.with_recipe(settings, chosen), found


def choose(figures: list[float], margin: float = MARGIN) -> int:
    """Which candidate is taken, given the AUROC of each, the most robust one's first.

    >>> choose([0.80, 0.81, 0.81])
    0
    >>> choose([0.80, 0.896, 0.90])
    1
    """
    best = max(figures)
    if best - figures[0] <= margin:
        return 0
    return next(number for number, figure in enumerate(figures) if figure >= best - TIE)


def _try(
    settings: TrainSettings, data: TrainingData, candidates: list[Recipe], work_directory: Path | None
) -> Tuning | None:
    """Judge all candidates; None where too few defects can be made."""
    trial = Trial.of(settings, data, candidates, work_directory)
    if trial is None:
        return None
    scorer = settings.scorer()
    log(f"Which features find most of {len(trial.owners)} defects made on {len(trial.sample_ids)} good images?")
    figures = []
    for recipe in candidates:
        with step(f"Trying {recipe.words(scorer)}", alone=True):
            figures.append(trial.judge(recipe))
        log(f"  finds made defects with an AUROC of {figures[-1]:.3f}")
    number = choose(figures)
    reason = "is the most robust, and no other finds clearly more" if number == 0 else "finds clearly more than others"
    log(f"Features: {candidates[number].words(scorer)}, which {reason} (--tune off: not tried).")
    tried = [
        TriedRecipe(
            layers=recipe.layers,
            feature_scaling=recipe.feature_scaling,
            pool_size=recipe.pool_size if scorer == "patchcore" else None,
            auroc=round(figure, 4),
            chosen=recipe == candidates[number],
        )
        for recipe, figure in zip(candidates, figures, strict=True)
    ]
    return Tuning(images=len(trial.sample_ids), defects=len(trial.owners), margin=MARGIN, tried=tried)


@dataclass(frozen=True)
class Widest:
    """What computes the features that those of all candidates are taken from.

    `channels` says how many of them are of the first layer, of the first two, and so on.
    """

    extract: Extract
    channels: tuple[int, ...]
    scorer: ScoringFunction
    cells: CellGeometry

    @classmethod
    def of(cls, settings: TrainSettings, data: TrainingData, candidates: list[Recipe]) -> "Widest":
        """Compile the backbone with the most layers that a candidate has, and without windows of PatchCore's."""
        layers = max(recipe.layers for recipe in candidates)
        bare = settings.model_copy(update={"layers": layers, "pool_size": 1})
        features = build_features(bare, data.images, data.weights)
        return cls(extractor(features), features.channels(), settings.scorer(), features.cells())

    def places(self, recipe: Recipe) -> CellGeometry:
        """Where the features of a recipe lie on the image."""
        if self.scorer == "gmm":
            return self.cells
        size = recipe.pool_size
        return CellGeometry(self.cells.vertical.pooled(size, 1), self.cells.horizontal.pooled(size, 1))

    def take(self, recipe: Recipe, features: Array) -> Array:
        """The features (N, R, C, d) of a recipe, of all features (N, rows, columns, D)."""
        some = features[..., : self.channels[recipe.layers - 1]]
        return some if self.scorer == "gmm" else averaged(some, Pooling(recipe.pool_size))

    def source(self, recipe: Recipe, every: FeatureSource, memory_limit: int) -> FeatureSource:
        """A recipe's features of images, of whose features `every` is all."""
        return FeatureSource(_Taken(self, recipe, every), unchanged, memory_limit)


@dataclass(frozen=True)
class Trial:
    """Good images and images with made defects, and the features of both for every candidate.

    `owners` (M,) number the good image that each defect was made on.
    """

    settings: TrainSettings
    widest: Widest
    good: FeatureSource
    made: FeatureSource
    owners: NDArray[np.int64]
    sample_ids: list[str]
    memory_limit: int
    shape: Shape
    ignored: IgnoreMask | None

    @classmethod
    def of(
        cls, settings: TrainSettings, data: TrainingData, candidates: list[Recipe], work_directory: Path | None
    ) -> "Trial | None":
        """Choose images, make defects on them and compile the backbone; None where too few can be made.

        Features of the images, of the defects and of the candidate under way take an eighth of the memory limit each,
        or are stored as those of a training are.
        """
        limit = settings.memory_limit * 2**20
        height, width, _ = data.images.shape
        some = max(FEWEST_IMAGES, min(MOST_IMAGES, MOST_CELLS * 64 // (height * width)))
        chosen = np.random.default_rng(settings.seed).permutation(len(data.images))[:some]
        data = data.without(np.setdiff1d(np.arange(len(data.images)), chosen))
        made, owners = _make(data, settings.seed, int(limit * PIXELS_SHARE))
        if len(owners) < FEWEST_DEFECTS:
            return None
        widest = Widest.of(settings, data, candidates)
        good, defects = (
            FeatureSource(images, widest.extract, limit // 4, work_directory) for images in (data.images, made)
        )
        ids, shape = data.split.ids, data.images.shape
        return cls(settings, widest, good, defects, owners, ids, limit // 4, shape, data.ignored)

    def judge(self, recipe: Recipe) -> float:
        """The AUROC of the made defects against the good images, by scorers that saw neither."""
        settings = recipes.with_recipe(self.settings, recipe)
        counted = fitters.counted(settings, self.shape, self.ignored, self.widest.places(recipe))
        fitter = fitters.fitter(settings, self.shape, counted)
        good = self.widest.source(recipe, self.good, self.memory_limit)
        fit = fitter.fit(good, self.sample_ids)
        found = [
            fit.score_unseen(self.widest.take(recipe, features), self.owners[rows])
            for rows, features in self.made.batches("Scoring made defects")
        ]
        scores = np.concatenate([fit.held_out_scores, *found])
        anomalous = np.arange(len(scores)) >= len(self.sample_ids)
        return image_metrics.auroc(image_metrics.operating_points(scores, anomalous)) or 0.0


@dataclass(frozen=True)
class _Taken:
    """A recipe's features in the place of images."""

    widest: Widest
    recipe: Recipe
    every: FeatureSource

    def __len__(self) -> int:
        return len(self.every)

    def first(self) -> Array:
        return self.widest.take(self.recipe, self.every.first())

    def batches(self) -> Iterator[Batch]:
        for rows, features in self.every.batches("Reading features"):
            yield rows, self.widest.take(self.recipe, features)


def _make(data: TrainingData, seed: int, most_bytes: int) -> tuple[Images, NDArray[np.int64]]:
    """Images with made defects, and the number of the image that each was made on."""
    images = data.images
    most = max(FEWEST_DEFECTS, most_bytes // int(np.prod(images.shape)))
    count = min(MOST_DEFECTS, PER_IMAGE * len(images), most)
    with step(f"Making {count} defects on good images, to choose features by"):
        good = StoredPixels(images, np.arange(len(images)))
        defects = list(made_set(good, count, seed, sizes=SIZES, where=data.counted_pixels))
    pixels = np.array([defect.pixels for defect in defects], np.uint8).reshape(-1, *images.shape)
    owners = np.array([defect.image for defect in defects], np.int64)
    return images_in_memory(pixels, images.scaling), owners
