"""From checked training images to the contents of all files: fits, conversions and the metadata."""

import contextlib
import importlib.metadata
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fomoad
from fomoad import state_file
from fomoad.backbones import load
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.graph import Ranges
from fomoad.backbones.weights import Weights
from fomoad.data.dataset import Images
from fomoad.device.profile import RUNTIME_NAMES, Profile
from fomoad.errors import UserError
from fomoad.export import tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.features.extractor import compiled
from fomoad.features.pooling import STOCK_POOLING, Features, Pooling
from fomoad.features.store import Extract, Source
from fomoad.inference import ignored_cells
from fomoad.metadata import (
    AnomalyMetadata,
    BackboneInfo,
    Grid,
    InputInfo,
    LearningCurve,
    ModelFile,
    Suspect,
    Tuning,
)
from fomoad.parameters import Parameters
from fomoad.progress import log, step, warn
from fomoad.scorers.counted import Counted
from fomoad.settings import TrainSettings
from fomoad.training import defect_cells, fitters, learning_curve, recipes, state, suspects, threshold_summary
from fomoad.training.file_check import check_files
from fomoad.training.fit import Fit, Fitter, by_photo
from fomoad.training.int8 import convert_int8, round_network
from fomoad.training.made_defects import Tested, record_detection
from fomoad.training.model_files import convert_float, measure
from fomoad.training.places import Place
from fomoad.training.state import KeptFit, TrainingState
from fomoad.training.training_data import TrainingData

GRID_STRIDE: Final = 8
"""Pixels to a cell of the grid that features are brought to."""
PACKAGES: Final = ("tensorflow", "numpy", "scipy", "onnx", "tf2onnx", "ai-edge-litert")


def train_models(
    parameters: Parameters,
    settings: TrainSettings,
    data: TrainingData,
    place: Place,
    work_directory: Path | None = None,
    keep_state: bool = True,
    tuning: Tuning | None = None,
) -> dict[str, bytes]:
    """Fit detectors to checked training images and convert them: file names to contents, the metadata last.

    `settings` are the parameters' with what was found for those that are auto, as `tuning` says where it was tried.
    Passes over all images run at the place; what looks at a few of them runs here, with the work directory.
    `keep_state` adds what an update starts from and a monitor compares with (fomoad.training.state).
    """
    features = build_features(settings, data.images, data.weights)
    counted = _counted(settings, data, features)
    if counted is not None:
        log(f"{int((~counted.cells).sum())} of {counted.cells.size} cells of the map are ignored, and score 0.")
    data, float_fit, suspected = fit_float(settings, data, features, place)
    fitted = fit_within_limits(settings, data, features, float_fit, place)
    models = convert_float(settings, data.images.shape, features, fitted.fit) | {tflite.INT8_FILE: fitted.int8.model}
    float_file = Tested(models[tflite.FLOAT_FILE], fitted.fit, fitted.extract)
    tested = {tflite.FLOAT_FILE: float_file, tflite.INT8_FILE: fitted.int8}
    check_files(tested, data.images)
    curve = learning_curve.measure(
        data.split,
        fitted.extract,
        _fitter(settings, data, features),
        settings.false_positive_rate,
        settings.seed,
        settings.memory_limit * 2**20,
        work_directory,
        data.counted_pixels,
    )
    record_detection(data, tested, settings.false_positive_rate, settings.seed)
    for model in models.values():
        if model.record.output.dtype == "float32":
            model.record.threshold = float_file.model.record.threshold
    for name, each in tested.items():
        threshold_summary.show(name, each.model.record.threshold)
    records = {name: model.record for name, model in models.items()}
    metadata = _metadata(parameters, settings, data, features, fitted.fit, records, suspected, curve)
    metadata.tuning = tuning
    contents = {name: model.content for name, model in models.items()}
    if keep_state:
        contents[state_file.FILE] = state.contents(fitted.state(data, features, settings.seed), models)
    return contents | {METADATA_FILE: metadata.model_dump_json(indent=2).encode() + b"\n"}


@dataclass(frozen=True)
class Fitted:
    """The float32 fit and what extracts its features; the int8 model with its own, and the network they come from."""

    fit: Fit
    extract: Extract
    int8: Tested
    int8_features: Features
    ranges: Ranges

    def state(self, data: TrainingData, features: Features, seed: int) -> TrainingState:
        """What an update starts from."""
        defects, int8_defects = defect_cells.draw(data, self.extract, self.int8.extract, self.fit.scorer, seed)
        kept, int8_kept = KeptFit.of(self.fit, defects), KeptFit.of(self.int8.fit, int8_defects)
        return TrainingState(tuple(data.split.ids), features, self.int8_features, self.ranges, kept, int8_kept)


@dataclass(frozen=True)
class FloatFit:
    """A fit to float features, and the features that it was fitted to."""

    fit: Fit
    source: Source


def fit_float(
    settings: TrainSettings, data: TrainingData, features: Features, place: Place
) -> tuple[TrainingData, FloatFit, list[Suspect]]:
    """Fit in float32; where images are left out as defects, fit again without them.

    Returns the images that the fit is to, the fit, and the images that a person should look at.
    """
    fitter = _fitter(settings, data, features)
    with step("Compiling the backbone"):
        backbone = compiled(features)
        source = place.features(data.images, backbone)
    tiling = data.split.tiling
    fit = by_photo(fitter.fit(source, data.split.ids), tiling)
    share = settings.contaminated_share()
    suspected = suspects.name(fit.held_out_scores, share, data.split)
    gone = suspects.left_out(fit.held_out_scores, share)
    if not len(gone):
        return data, FloatFit(fit, source), suspected
    data = data.without(tiling.rows_of(gone) if tiling else gone)
    source = place.features(data.images, backbone)
    return data, FloatFit(by_photo(fitter.fit(source, data.split.ids), tiling), source), suspected


def fit_within_limits(
    settings: TrainSettings, data: TrainingData, features: Features, start: FloatFit, place: Place
) -> Fitted:
    """Fit in int8, and with a smaller memory bank where the int8 model would not fit into the flash.

    The float32 fit then has the same bank. Raises UserError where the limits cannot be kept.
    """
    split, images, source, fit = data.split, data.images, start.source, start.fit
    fitter = _fitter(settings, data, features)
    rounded, ranges = round_network(settings, images, features)
    with step("Converting the backbone to int8"):
        int8_source = place.features(images, compiled(rounded, ranges))
    while True:
        int8_fit = by_photo(fitter.refit(int8_source, split.ids, fit), split.tiling)
        model = convert_int8(settings, rounded, ranges, images.shape, fit, int8_fit)
        with step(f"Measuring what {tflite.INT8_FILE} needs on a device"):
            model.record.profile = measure(tflite.INT8_FILE, model.content)
        excess = excess_bytes(settings, model.record.profile)
        if excess <= 0:
            return Fitted(fit, source.extract, Tested(model, int8_fit, int8_source.extract), rounded, ranges)
        smaller = fitter.shrink(source, split.ids, fit, excess)
        if smaller is None:
            raise UserError(
                f"The int8 model takes {model.record.profile.flash_bytes} bytes of flash, --max-flash allows "
                f"{settings.max_flash}, and a smaller scoring function would not do: use a narrower backbone or, for "
                "the mixture, a lower --capacity."
            )
        fit = by_photo(smaller, split.tiling)


def _counted(settings: TrainSettings, data: TrainingData, features: Features) -> Counted | None:
    return fitters.counted(settings, data.images.shape, data.ignored, features.cells())


def _fitter(settings: TrainSettings, data: TrainingData, features: Features) -> Fitter[Any]:
    return fitters.fitter(settings, data.images.shape, _counted(settings, data, features))


def excess_bytes(settings: TrainSettings, measured: Profile) -> int:
    """How many bytes of flash the int8 model takes more than allowed, 0 or less where it fits.

    Raises UserError where it takes too much working memory.
    """
    needed = measured.ram(settings.runtime)
    if settings.max_ram and needed is not None and needed > settings.max_ram:
        raise UserError(
            f"The int8 model takes {needed} bytes of RAM on {RUNTIME_NAMES[settings.runtime]}, --max-ram allows "
            f"{settings.max_ram}: train with smaller images or a narrower backbone, or say with --runtime what counts."
        )
    if settings.max_ram and needed is None:
        warn(f"--max-ram cannot be checked: {measured.not_measured}.")
    return measured.flash_bytes - settings.max_flash if settings.max_flash else 0


def build_features(settings: TrainSettings, images: Images, weights: Weights) -> Features:
    """The feature extraction that the settings ask for, for images of this shape.

    Raises UserError where a window of PatchCore's pooling would be larger than the images' grid.
    """
    architecture = ARCHITECTURES[weights.backbone]
    pooling = pooling_of(settings, images.shape)
    layers = architecture.layers[: recipes.robust(settings, images.shape).layers]
    network = load.load(weights.backbone, weights, images.shape, settings.image_input_scaling, layers)
    return Features(network, architecture.grid_layer, pooling)


def pooling_of(settings: TrainSettings, image_shape: tuple[int, int, int]) -> Pooling:
    """The pooling that the settings ask for. Raises UserError where a window would be larger than the images' grid."""
    pooling = STOCK_POOLING if settings.scorer() == "gmm" else Pooling(recipes.robust(settings, image_shape).pool_size)
    cells = math.ceil(min(image_shape[:2]) / GRID_STRIDE)
    if pooling.size > cells:
        raise UserError(
            f"--pool-size {pooling.size} is more than the {cells} cells along the images' shorter side: lower it."
        )
    return pooling


def _metadata(
    parameters: Parameters,
    settings: TrainSettings,
    data: TrainingData,
    features: Features,
    fit: Fit,
    models: dict[str, ModelFile],
    suspected: list[Suspect],
    curve: LearningCurve | None,
) -> AnomalyMetadata:
    """The written record; `settings` are the parameters' with what was found for those that are auto."""
    thresholds = models[tflite.FLOAT_FILE].threshold
    cells, counted = fit.scorer.cells(features.cells()), fit.scorer.counted
    height, width, channels = data.images.shape
    versions = {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return AnomalyMetadata(
        nominalThresholdScore=thresholds.suggested,
        threshold=thresholds,
        scoring_function=settings.scorer(),
        scorer_size=fit.scorer.size,
        settings=settings.model_dump(),
        settings_from=dict(parameters.sources),
        backbone=BackboneInfo(
            name=data.weights.backbone,
            layers=list(features.network.outputs),
            weights=data.weights.origin,
            weights_sha256=data.weights.sha256(),
        ),
        input=InputInfo(
            height=height,
            width=width,
            channels=channels,
            scaling=settings.image_input_scaling,
            resize=data.split.resize,
            tiles=data.split.tiling,
        ),
        grid=Grid(
            rows=cells.vertical.count,
            columns=cells.horizontal.count,
            cells=cells,
            ignored=ignored_cells.to_text(~counted.cells) if counted else None,
        ),
        ignore_mask_sha256=data.ignored.sha256 if data.ignored else None,
        vote=settings.vote,
        training_images=len(data.split.photos()),
        suspects=suspected,
        learning_curve=curve,
        versions={"fomoad": fomoad.__version__} | versions,
        models=models,
    )


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"
