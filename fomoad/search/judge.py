"""Judging a candidate: fit it on shared features, convert it to int8, measure it, and see what it finds."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones import weights
from fomoad.backbones.graph import Ranges
from fomoad.device.profile import RUNTIME_NAMES, Profile, Runtime, profile_model
from fomoad.errors import UserError
from fomoad.export import tflite
from fomoad.export.trace import Exported
from fomoad.features.extractor import extractor
from fomoad.features.pooling import Features, Pooling, averaged
from fomoad.features.store import FeatureSource, StoredFeatures
from fomoad.geometry import CellGeometry
from fomoad.metrics import image_metrics, pixel_metrics
from fomoad.scorers.scorer import Scorer
from fomoad.search.cache import Cache
from fomoad.search.choice import GROUPS
from fomoad.search.parts import Part, Parts
from fomoad.search.space import Candidate
from fomoad.settings import TrainSettings
from fomoad.training import fitters, recipes
from fomoad.training.int8 import int8_content, round_network
from fomoad.training.models import build_features, pooling_of

Array = NDArray[np.float32]
Metric = Literal["auroc", "recall", "aupro"]

FALSE_ALARMS: Final = 0.05
"""The rate of false alarms that recall is stated at."""
DIGITS: Final = 6
"""Of figures without a group, which make up most of a study."""
MOST_LAYERS: Final = 3
BATCH_BYTES: Final = 16 * 2**20
SCORED_FOR_RANGE: Final = 50
"""Training images whose highest score says where the range of the int8 output ends: four times as high."""


@dataclass(frozen=True)
class Budget:
    """What a device allows: bytes of flash, bytes of RAM under a runtime, and milliseconds on a core; 0 or none for no
    limit."""

    flash: int = 0
    ram: int = 0
    latency: tuple[tuple[str, float], ...] = ()
    runtime: Runtime = "edge-impulse"

    def limits_any(self) -> bool:
        """Whether there is any limit."""
        return bool(self.flash or self.ram or self.latency)

    def excess(self, measured: Profile) -> str | None:
        """What of a model is over the budget, in words; None where it fits."""
        if self.flash and measured.flash_bytes > self.flash:
            return f"takes {measured.flash_bytes} bytes of flash, {self.flash} are allowed"
        ram = measured.ram(self.runtime)
        if self.ram and (ram or 0) > self.ram:
            return f"takes {ram} bytes of RAM on {RUNTIME_NAMES[self.runtime]}, {self.ram} are allowed"
        for core, most in self.latency:
            needed = milliseconds(measured, core)
            if needed > most:
                return f"takes some {needed:.0f} ms on a {core}, {most:g} are allowed"
        return None


@dataclass(frozen=True)
class Figures:
    """What a model finds in a part: areas and shares from 0 to 1."""

    auroc: float
    recall: float
    aupro: float | None

    def of(self, metric: Metric) -> float:
        """One of them; 0 where it has no meaning."""
        return getattr(self, metric) or 0.0


@dataclass(frozen=True)
class _Widest:
    """What all candidates of one backbone and side share: the network of most layers, rounded for int8, not pooled.

    `channels` says how many of its features are of the first layer, of the first two, and so on.
    """

    features: Features
    ranges: Ranges
    channels: tuple[int, ...]

    def cut(self, layers: int, pooling: Pooling) -> Features:
        """The features of the first layers, pooled."""
        network = self.features.network
        return replace(self.features, network=network.ending_at(network.outputs[:layers]), pooling=pooling)

    def take(self, layers: int, pooling: Pooling, features: Array) -> Array:
        """The same from features (n, rows, columns, D) of all layers that are not pooled."""
        return averaged(features[..., : self.channels[layers - 1]], pooling)


@dataclass(frozen=True)
class _Fitted:
    """A candidate's scorer, and the features that it is fitted to: `take` makes them of those `stored` for all."""

    widest: _Widest
    features: Features
    take: Callable[[Array], Array]
    stored: Array
    scorer: Scorer


class Judge:
    """Judges candidates on the parts of one side. Features are shared through the cache."""

    def __init__(self, parts: Parts, cache: Cache, digest: str, metric: Metric, budget: Budget) -> None:
        self._parts, self._cache, self._digest = parts, cache, digest
        self._metric, self._budget = metric, budget
        self._widest: dict[TrainSettings, _Widest] = {}
        self._bare: dict[tuple[Any, ...], Profile] = {}

    def __call__(self, candidate: Candidate) -> tuple[tuple[float, ...], dict[str, Any]]:
        """The values of a candidate (detection, flash, RAM, milliseconds), and more figures.

        Raises UserError where its backbone alone, or the whole model, is over the budget.
        """
        fitted = self._fitted(candidate.settings)
        highest = 4 * float(np.max(fitted.scorer.score(fitted.take(fitted.stored[:SCORED_FOR_RANGE]))))
        shape = self._parts.images.shape
        measured = measure(int8_content(fitted.features, fitted.scorer, fitted.widest.ranges, shape, 1.0, highest))
        self._keep(measured)
        cells = fitted.scorer.cells(fitted.features.cells())
        maps = self._maps(candidate.settings, fitted)
        figures = {name: figures_of(maps[name], part, cells) for name, part in self._judged_on().items()}
        core = self._budget.latency[0][0] if self._budget.latency else measured.latency[0].core
        values = (
            figures["selection"].of(self._metric),
            float(measured.flash_bytes),
            float(measured.ram(self._budget.runtime) or 0),
            milliseconds(measured, core),
        )
        without = {
            name: without_each_group(maps[name], part, cells, self._metric) for name, part in self._judged_on().items()
        }
        details = {name: vars(found) for name, found in figures.items()}
        return values, details | {"without": without, "macs": measured.macs, "core": core}

    def maps(self, settings: TrainSettings) -> dict[str, Array]:
        """The anomaly maps (n, rows, columns) of the selection and of the good photos and made defects."""
        return self._maps(settings, self._fitted(settings))

    def _fitted(self, settings: TrainSettings) -> _Fitted:
        """A scorer fitted to shared features. Raises UserError where its backbone alone is over the budget."""
        widest, layers, pooling = self._cut_of(settings)
        features = widest.cut(layers, pooling)
        self._keep_bare(settings, features, widest.ranges)
        take = functools.partial(widest.take, layers, pooling)
        stored = self._features(settings, widest)
        source = FeatureSource(StoredFeatures(stored), take, settings.memory_limit * 2**20)
        scorer = fitters.fitter(settings, self._parts.images.shape).scorer(source, self._parts.sample_ids, rounded=True)
        return _Fitted(widest, features, take, stored, scorer)

    def _maps(self, settings: TrainSettings, fitted: _Fitted) -> dict[str, Array]:
        return {
            name: fitted.scorer.score(fitted.take(self._part_features(settings, fitted.widest, name, part)))
            for name, part in self._judged_on().items()
        }

    def _judged_on(self) -> dict[str, Part]:
        return {"selection": self._parts.selection, "made": self._parts.made}

    def features(self, settings: TrainSettings) -> Array:
        """The features (n, rows, columns, D) of the images to fit to, as int8 kernels compute them."""
        widest, layers, pooling = self._cut_of(settings)
        return widest.take(layers, pooling, np.asarray(self._features(settings, widest)))

    def _cut_of(self, settings: TrainSettings) -> tuple[_Widest, int, Pooling]:
        """The widest network, and how many of its layers are taken and how they are pooled."""
        shape = self._parts.images.shape
        pooling = pooling_of(settings, shape)
        return self._share(settings), recipes.robust(settings, shape).layers, pooling

    def _keep(self, measured: Profile) -> None:
        excess = self._budget.excess(measured)
        if excess:
            raise UserError(excess)

    def _keep_bare(self, settings: TrainSettings, features: Features, ranges: Ranges) -> None:
        """Raise UserError where the network is over the budget before any scorer is added: no candidate asks less."""
        if not self._budget.limits_any():
            return
        key = (settings.backbone, features.network.outputs, features.pooling)
        if key not in self._bare:
            traced = functools.partial(features.graph, ranges=ranges)
            content = tflite.convert_features(Exported(traced, self._parts.images.shape), rounded=True)
            self._bare[key] = measure(content)
        self._keep(self._bare[key])

    def _share(self, settings: TrainSettings) -> _Widest:
        """The network that these features are taken from, rounded, made once in this process."""
        key = _feature_settings(settings)
        if key not in self._widest:
            found = weights.find_weights(key.backbone, key.weights, key.weights_resolution, key.target_device)
            features = build_features(key, self._parts.images, found)
            rounded, ranges = round_network(key, self._parts.images, features)
            self._widest[key] = _Widest(rounded, ranges, rounded.channels())
        return self._widest[key]

    def _features(self, settings: TrainSettings, widest: _Widest) -> Array:
        return self._cached(settings, "fit", lambda: _extract(widest, self._parts.images.batches()))

    def _part_features(self, settings: TrainSettings, widest: _Widest, name: str, part: Part) -> Array:
        def compute() -> Array:
            count = max(1, BATCH_BYTES // part.images[0].nbytes)
            starts = range(0, len(part.images), count)
            return _extract(widest, ((slice(0), part.images[start : start + count]) for start in starts))

        return self._cached(settings, name, compute)

    def _cached(self, settings: TrainSettings, part: str, compute: Callable[[], Array]) -> Array:
        key = f"{self._digest} {self._parts.images.shape} {_feature_settings(settings).model_dump()} {part}"
        return self._cache.get(key, compute)


def figures_of(maps: Array, part: Part, cells: CellGeometry) -> Figures:
    """What anomaly maps (n, rows, columns), whose cells lie at `cells`, find in a part."""
    auroc, recall = _of_images(maps.max(axis=(1, 2)), part.anomalous)
    aupro = None
    if part.masks is not None and part.masks.any():
        aupro = pixel_metrics.count_pixels(np.asarray(maps), iter(part.masks), cells).aupro()
    return Figures(auroc, recall, aupro)


def without_each_group(maps: Array, part: Part, cells: CellGeometry, metric: Metric) -> list[float]:
    """What the same maps find in a part without each of its groups of photos, by one metric."""
    if metric == "aupro":
        if part.masks is None:
            return [0.0] * GROUPS
        found = pixel_metrics.aupro_without(np.asarray(maps), iter(part.masks), cells, part.groups, GROUPS)
    else:
        scores, which = maps.max(axis=(1, 2)), ("auroc", "recall").index(metric)
        kept = (part.groups != group for group in range(GROUPS))
        found = [_of_images(scores[rows], part.anomalous[rows])[which] for rows in kept]
    return [round(each, DIGITS) for each in found]


def _of_images(scores: Array, anomalous: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC and recall at FALSE_ALARMS; 0 where they have no meaning."""
    points = image_metrics.operating_points(scores, anomalous)
    return image_metrics.auroc(points) or 0.0, image_metrics.recall_at(points, FALSE_ALARMS) or 0.0


def measure(content: bytes) -> Profile:
    """What a TFLite model needs on a device."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / tflite.INT8_FILE
        path.write_bytes(content)
        return profile_model(path)


def milliseconds(measured: Profile, core: str) -> float:
    """The estimate for a core, by the beginning of its name in any case.

    Raises UserError for a core that there is no estimate for.
    """
    for latency in measured.latency:
        if latency.core.lower().startswith(core.lower()):
            return latency.milliseconds
    names = ", ".join(latency.core for latency in measured.latency)
    raise UserError(f"There is no estimate for the core {core}: give the name of one of {names}.")


def _extract(widest: _Widest, batches: Iterator[tuple[slice, Array]]) -> Array:
    """The features (n, rows, columns, D) of int8 kernels."""
    extract = extractor(widest.features, widest.ranges)
    return np.concatenate([extract(batch) for _, batch in batches])


def _feature_settings(settings: TrainSettings) -> TrainSettings:
    """The settings of the widest network, with the same values for all candidates that take their features from it.

    One layer has a network of its own: without a second output, int8 is made otherwise on the way to the first.
    """
    names = ("target_device", "backbone", "weights", "weights_resolution", "image_input_scaling")
    kept = {name: getattr(settings, name) for name in names}
    layers = 1 if settings.layers == 1 else MOST_LAYERS
    return TrainSettings(**kept, scoring_function="patchcore", pool_size=1, layers=layers)
