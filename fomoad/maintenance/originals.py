"""An update where the training's images are still there: both scorers are fitted again, to old and new images.

The network, its int8 ranges and the scorers' sizes stay as they are, so that the files keep theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomoad.data import dataset
from fomoad.errors import UserError
from fomoad.features.extractor import extractor
from fomoad.features.store import Batch, FeatureSource, unchanged
from fomoad.metadata import AnomalyMetadata
from fomoad.scorers.counted import at_places
from fomoad.scorers.scorer import Scorer
from fomoad.settings import TrainSettings
from fomoad.training import fitters
from fomoad.training.fit import Fitter
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import PatchCoreFitter
from fomoad.training.recipes import Shape
from fomoad.training.state import KeptFit, TrainingState

Array = NDArray[np.float32]

REVIEWED = "reviewed/"
"""What the sample ids of images that an update took in begin with."""


@dataclass(frozen=True)
class Originals:
    """The images that a model was trained on: features, float ones and those of int8 kernels, and sample ids (N,)."""

    floats: FeatureSource
    int8: FeatureSource
    ids: list[str]
    memory_limit: int
    shape: Shape

    @classmethod
    def open(
        cls, directory: Path, metadata: AnomalyMetadata, settings: TrainSettings, state: TrainingState
    ) -> "Originals":
        """Open a training's data directory; images that the training left out stay out.

        Raises UserError for a directory that cannot be read, and for one of another training.
        """
        split = dataset.open_split(directory, "train", settings.image_input_scaling)
        gone = [suspect.row for suspect in metadata.suspects if suspect.left_out]
        split = split.without(np.array(gone, np.int64)) if gone else split
        images = split.images
        taken = metadata.input
        known = list(state.sample_ids[: state.fit.trained])
        if images is None or images.shape != (taken.height, taken.width, taken.channels) or split.ids != known:
            raise UserError(
                f"{directory} does not hold the {len(known)} images that the models were trained on: give the data "
                "directory of that training, or leave --data-directory out."
            )
        for rows, values in images.batches():
            dataset.check_values(images, rows, values)
        limit = settings.memory_limit * 2**20 // 4
        floats = FeatureSource(images, extractor(state.features), limit)
        int8 = FeatureSource(images, extractor(state.int8_features, state.ranges), limit)
        return cls(floats, int8, split.ids, limit, images.shape)

    def check_reviewed(self, state: TrainingState, names: Sequence[str]) -> None:
        """Raise UserError where photos that earlier updates took in are not among those of this one."""
        earlier = {name.removeprefix(REVIEWED) for name in state.sample_ids[state.fit.trained :]}
        missing = sorted(earlier - set(names))
        if missing:
            raise UserError(
                f"{len(missing)} photos that earlier updates took in are not among the reviewed ones, {missing[0]} for "
                "one, and would be forgotten: put them into the folder of --good too, or leave --data-directory out."
            )

    def refit(
        self, state: TrainingState, settings: TrainSettings, floats: Array, int8: Array, names: Sequence[str]
    ) -> tuple[KeptFit, KeptFit]:
        """Both fits to the original and to new images with features (n, R, C, D), float ones and those of int8.

        `names` (n,) are the new images' sample ids. Scores of all images are by scorers that did not see them.
        """
        ids = [*self.ids, *names]
        sources = [
            FeatureSource(_Joined(source, new), unchanged, self.memory_limit)
            for source, new in ((self.floats, floats), (self.int8, int8))
        ]
        counted = state.fit.scorer.counted
        patches = len(ids) * at_places(floats[:1], counted).shape[1]
        fitter = _of_size(fitters.fitter(settings, self.shape, counted), state.fit.scorer, patches)
        fit = fitter.fit(sources[0], ids)
        fits = fit, fitter.refit(sources[1], ids, fit)
        kept = [
            replace(KeptFit.of(each), defects=old.defects, trained=len(self.ids))
            for each, old in zip(fits, (state.fit, state.int8_fit), strict=True)
        ]
        return kept[0], kept[1]


def _of_size(fitter: Fitter[Any], scorer: Scorer, patches: int) -> Fitter[Any]:
    """The fitter whose scorers are as large as this one, fitted to so many patches."""
    if isinstance(fitter, GmmFitter):
        return replace(fitter, components=scorer.size)
    assert isinstance(fitter, PatchCoreFitter)
    return replace(fitter, sampling_ratio=scorer.size / patches)


@dataclass(frozen=True)
class _Joined:
    """Features of the original images, then of new ones, in the place of images."""

    originals: FeatureSource
    new: Array

    def __len__(self) -> int:
        return len(self.originals) + len(self.new)

    def first(self) -> Array:
        return self.originals.first()

    def batches(self) -> Iterator[Batch]:
        yield from self.originals.batches("Reading features")
        yield slice(len(self.originals), len(self)), self.new
