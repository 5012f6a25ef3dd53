"""Judging a candidate: fit it on shared features, convert it to int8, measure it, and see what it finds."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from fomoad.features.pooling import Features
from fomoad.features.store import FeatureSource, StoredFeatures
from fomoad.geometry import CellGeometry
from fomoad.metrics import image_metrics, pixel_metrics
from fomoad.search.cache import Cache
from fomoad.search.parts import Part, Parts
from fomoad.search.space import Candidate
from fomoad.settings import TrainSettings
from fomoad.training import fitters
from fomoad.training.int8 import int8_content, round_network
from fomoad.training.models import build_features

Array = NDArray[np.float32]
Metric = Literal["auroc", "recall", "aupro"]

FALSE_ALARMS: Final = 0.05
"""The rate of false alarms that recall is stated at."""
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
class _Shared:
    """What all candidates of one backbone, side and choice of layers share: the network rounded for int8."""

    features: Features
    ranges: Ranges
    bare: Profile
    """What the network asks of a device before any scorer is added: no candidate asks less."""


class Judge:
    """Judges candidates on the parts of one side. Features are shared through the cache."""

    def __init__(self, parts: Parts, cache: Cache, digest: str, metric: Metric, budget: Budget) -> None:
        self._parts, self._cache, self._digest = parts, cache, digest
        self._metric, self._budget = metric, budget
        self._shared: dict[TrainSettings, _Shared] = {}

    def __call__(self, candidate: Candidate) -> tuple[tuple[float, ...], dict[str, Any]]:
        """The values of a candidate (detection, flash, RAM, milliseconds), and more figures.

        Raises UserError where its backbone alone, or the whole model, is over the budget.
        """
        settings = candidate.settings
        shared = self._share(settings)
        self._keep(shared.bare)
        features = self._features(settings, shared)
        source = FeatureSource(StoredFeatures(features), lambda rows: rows, settings.memory_limit * 2**20)
        scorer = fitters.fitter(settings, self._parts.images.shape).scorer(source, self._parts.sample_ids).rounded()
        highest = 4 * float(np.max(scorer.score(np.asarray(features[:SCORED_FOR_RANGE]))))
        content = int8_content(shared.features, scorer, shared.ranges, self._parts.images.shape, 1.0, highest)
        measured = measure(content)
        self._keep(measured)
        cells = scorer.cells(shared.features.cells())
        figures = {
            name: figures_of(scorer.score(self._part_features(settings, shared, name, part)), part, cells)
            for name, part in {"selection": self._parts.selection, "made": self._parts.made}.items()
        }
        core = self._budget.latency[0][0] if self._budget.latency else measured.latency[0].core
        values = (
            figures["selection"].of(self._metric),
            float(measured.flash_bytes),
            float(measured.ram(self._budget.runtime) or 0),
            milliseconds(measured, core),
        )
        return values, {name: vars(found) for name, found in figures.items()} | {"macs": measured.macs, "core": core}

    def _keep(self, measured: Profile) -> None:
        excess = self._budget.excess(measured)
        if excess:
            raise UserError(excess)

    def _share(self, settings: TrainSettings) -> _Shared:
        """The network for these features, in float and rounded, made once in this process."""
        key = _feature_settings(settings)
        if key not in self._shared:
            found = weights.find_weights(
                settings.backbone, settings.weights, settings.weights_resolution, settings.target_device
            )
            features = build_features(settings, self._parts.images, found)
            rounded, ranges = round_network(settings, self._parts.images, features)
            graph = functools.partial(rounded.graph, ranges=ranges)
            content = tflite.convert_features(Exported(graph, self._parts.images.shape), rounded=True)
            self._shared[key] = _Shared(rounded, ranges, measure(content))
        return self._shared[key]

    def _features(self, settings: TrainSettings, shared: _Shared) -> Array:
        return self._cached(settings, "fit", lambda: _extract(shared, self._parts.images.batches()))

    def _part_features(self, settings: TrainSettings, shared: _Shared, name: str, part: Part) -> Array:
        def compute() -> Array:
            count = max(1, BATCH_BYTES // part.images[0].nbytes)
            starts = range(0, len(part.images), count)
            return _extract(shared, ((slice(0), part.images[start : start + count]) for start in starts))

        return self._cached(settings, name, compute)

    def _cached(self, settings: TrainSettings, part: str, compute: Callable[[], Array]) -> Array:
        key = f"{self._digest} {self._parts.images.shape} {_feature_settings(settings).model_dump()} {part}"
        return self._cache.get(key, compute)


def figures_of(maps: Array, part: Part, cells: CellGeometry) -> Figures:
    """What anomaly maps (n, rows, columns), whose cells lie at `cells`, find in a part."""
    points = image_metrics.operating_points(maps.max(axis=(1, 2)), part.anomalous)
    aupro = None
    if part.masks is not None and part.masks.any():
        aupro = pixel_metrics.count_pixels(np.asarray(maps), iter(part.masks), cells).aupro()
    auroc, recall = image_metrics.auroc(points), image_metrics.recall_at(points, FALSE_ALARMS)
    return Figures(auroc or 0.0, recall or 0.0, aupro)


def measure(content: bytes) -> Profile:
    """What a TFLite model asks of a device."""
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


def _extract(shared: _Shared, batches: Iterator[tuple[slice, Array]]) -> Array:
    """The features (n, rows, columns, D) of int8 kernels."""
    extract = extractor(shared.features, shared.ranges)
    return np.concatenate([extract(batch) for _, batch in batches])


def _feature_settings(settings: TrainSettings) -> TrainSettings:
    """The settings that features depend on; the others are made the same for all."""
    names = ("target_device", "backbone", "weights", "weights_resolution", "layers", "pool_size", "image_input_scaling")
    kept = {name: getattr(settings, name) for name in names}
    return TrainSettings(**kept, scoring_function=settings.scorer())
