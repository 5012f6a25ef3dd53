"""A training from a data directory to an output directory."""

import contextlib
import hashlib
import importlib.metadata
import math
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import fomoad
from fomoad import backbone, dataset, fitting, labels, profile, quantization, runtime, scaling, tflite_file, threshold
from fomoad.artifacts import onnx_file, output_directory, saved_model, tflite
from fomoad.artifacts.trace import Exported
from fomoad.backbone import ARCHITECTURES, Weights
from fomoad.dataset import Images, Split
from fomoad.detector import Detector
from fomoad.errors import UserError
from fomoad.features import STOCK_POOLING, Features, Pooling
from fomoad.fitting import Extract, FeatureSource, Fit
from fomoad.metadata import (
    METADATA_FILE,
    AnomalyMetadata,
    BackboneInfo,
    Grid,
    InputInfo,
    ModelFile,
    TensorInfo,
    Threshold,
)
from fomoad.network import Network, Ranges
from fomoad.profile import Profile
from fomoad.progress import log, step, track
from fomoad.scorers.gmm import CAPACITIES
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.settings import TrainSettings

Array = NDArray[np.float32]

GMM_LAYERS: Final[tuple[int, ...]] = (1,)
"""Which of an architecture's layers (0: 1/4, 1: 1/8, 2: 1/16) the mixture's features are joined from."""
PATCHCORE_LAYERS: Final = {1: (1,), 2: (1, 2), 3: (0, 1, 2)}
"""The same for PatchCore, by the number of layers."""
GRID_LAYER: Final = 1
"""The layer whose grid the others are resized to."""
CALIBRATION_IMAGES: Final = 200
"""Training images that the int8 ranges and biases are measured on."""
ERROR_IMAGES: Final = 20
"""Of those, images that the rounding's error is measured on, for the log."""
STEPS_TO_THRESHOLD: Final = 64
"""The int8 output's steps from 0 to the threshold, which is thus a quarter of the range and falls on a step."""
INT8_STEPS: Final = 255
MIN_IMAGES: Final = 2
MIN_BANK: Final = 10
"""Fewer entries than this are no memory bank."""
SHOWN_IDS: Final = 10
PACKAGES: Final = ("tensorflow", "keras", "numpy", "scikit-learn", "scipy", "onnx", "tf2onnx", "ai-edge-litert")


def train(settings: TrainSettings, data_directory: Path, out_directory: Path, info_file: Path | None) -> None:
    """Train on the images of a data directory and write models and metadata to the output directory.

    Raises UserError where the data, the settings or the surroundings do not allow it; nothing is written then.
    """
    output_directory.check_temporary_folder()
    with output_directory.reserve(out_directory):
        split, images = _open_training_split(settings, data_directory, info_file)
        files = train_models(settings, split, images)
        output_directory.publish(out_directory, files)
    for name, content in files.items():
        log(f"Wrote {out_directory / name} ({len(content) / 1024:.0f} KiB)")


def train_models(settings: TrainSettings, split: Split, images: Images) -> dict[str, bytes]:
    """Fit detectors to checked training images and convert them: file names to contents, the metadata last."""
    weights = backbone.find_weights(settings.backbone, settings.weights, settings.weights_resolution)
    log(f"Backbone {settings.backbone} with weights: {weights.origin}")
    features = build_features(settings, images, weights)
    settings, fit, int8_models = _train_within_limits(settings, split, images, features)
    models = _convert_float(settings, images, features, fit) | int8_models
    records = {name: model.record for name, model in models.items()}
    records[tflite.FLOAT_FILE].profile = _profile(tflite.FLOAT_FILE, models[tflite.FLOAT_FILE].content)
    metadata = _metadata(settings, split, images, weights, features, records)
    contents = {name: model.content for name, model in models.items()}
    return contents | {METADATA_FILE: metadata.model_dump_json(indent=2).encode() + b"\n"}


def build_features(settings: TrainSettings, images: Images, weights: Weights) -> Features:
    """The feature extraction that the settings ask for, for images of this shape."""
    names = ARCHITECTURES[settings.backbone].layers
    if settings.scorer() == "gmm":
        chosen, pooling = GMM_LAYERS, STOCK_POOLING
    else:
        chosen, pooling = PATCHCORE_LAYERS[settings.layers], Pooling(settings.pool_size)
    layers = tuple(names[index] for index in chosen)
    network = backbone.load(settings.backbone, weights, images.shape, settings.image_input_scaling, layers)
    return Features(network, names[GRID_LAYER], pooling)


@dataclass(frozen=True)
class _Model:
    content: bytes
    record: ModelFile


def _train_within_limits(
    settings: TrainSettings, split: Split, images: Images, features: Features
) -> tuple[TrainSettings, Fit, dict[str, _Model]]:
    """Fit in float32 and int8, with a smaller memory bank where the int8 model would not fit into the flash.

    Returns the settings that were used in the end, the float32 fit and the int8 model.

    Raises UserError where the limits cannot be kept.
    """
    while True:
        fit = _fit(settings, split, images, features.extractor())
        models = _train_int8(settings, split, images, features, fit)
        model = models[tflite.INT8_FILE]
        model.record.profile = _profile(tflite.INT8_FILE, model.content)
        entries = _entries_to_drop(settings, fit, model.record.profile)
        if entries == 0:
            return settings, fit, models
        assert isinstance(fit.scorer, PatchCoreScorer)
        kept = len(fit.scorer.bank) - entries
        log(f"The memory bank shrinks by {entries} to {kept} entries to fit --max-flash {settings.max_flash}.")
        patches = len(images) * math.prod(model.record.output.shape)
        settings = settings.model_copy(update={"sampling_ratio": kept / patches})


def _entries_to_drop(settings: TrainSettings, fit: Fit, measured: Profile) -> int:
    """How many entries less a memory bank must have for the int8 model to keep the limits, 0 where it does.

    Raises UserError where that cannot help.
    """
    if settings.max_ram and measured.arena_bytes is not None and measured.arena_bytes > settings.max_ram:
        raise UserError(
            f"The int8 model needs an arena of {measured.arena_bytes} bytes, --max-ram allows {settings.max_ram}: "
            "train with smaller images or a narrower backbone."
        )
    if settings.max_ram and measured.arena_bytes is None:
        log(f"Warning: --max-ram cannot be checked: {measured.not_measured}.")
    excess = measured.flash_bytes - settings.max_flash
    if not settings.max_flash or excess <= 0:
        return 0
    bank = fit.scorer.bank if isinstance(fit.scorer, PatchCoreScorer) else np.empty((0, 1), np.float32)
    # An entry takes a byte a feature and a little more, so that this many fewer are always enough.
    entries: int = math.ceil(excess / bank.shape[1])
    if entries > len(bank) - max(settings.k, MIN_BANK):
        advice = "use a narrower backbone" if len(bank) else "lower --capacity or use a narrower backbone"
        raise UserError(
            f"The int8 model takes {measured.flash_bytes} bytes of flash, --max-flash allows {settings.max_flash}"
            f"{', and no smaller memory bank would fit' if len(bank) else ''}: {advice}."
        )
    return entries


def _convert_float(settings: TrainSettings, images: Images, features: Features, fit: Fit) -> dict[str, _Model]:
    """Convert a fit to the float32 formats."""
    divisor = _divisor(settings, fit)
    thresholds = _decide(settings, fit, lambda scores: scores / divisor)
    exported = Exported(Detector(features, fit.scorer, divisor).graph, images.shape)
    image = TensorInfo(shape=[1, *images.shape], dtype="float32")
    scores = TensorInfo(shape=[1, *exported.grid], dtype="float32")
    models = {}
    for name, convert in _FLOAT_CONVERSIONS.items():
        with step(f"Converting to {name}"):
            content = convert(exported)
        models[name] = _Model(content, _record(content, image, scores, thresholds))
    return models


def _train_int8(
    settings: TrainSettings, split: Split, images: Images, features: Features, float_fit: Fit
) -> dict[str, _Model]:
    """Fit once more, on the features that int8 kernels really give, and convert to int8.

    The fit starts from the float one: fitted from nothing, a mixture ends in another optimum and a memory bank
    takes other patches, which moves scores by more than the kernels' rounding does.
    """
    some = _calibration_images(images)
    ranges = quantization.calibrate(
        features.network, some, scaling.valid_range(settings.image_input_scaling, images.shape[2])
    )
    with step("Correcting biases for int8"):
        rounded = quantization.correct_biases(features.network, ranges, some)
        before = _feature_error(features.network, features.network, ranges, some)
        after = _feature_error(features.network, rounded, ranges, some)
        features = replace(features, network=rounded)
    log(f"  int8 puts the features off by {after:.0%} of how they vary ({before:.0%} without the correction)")
    with step("Converting the backbone to int8"):
        exported = Exported(lambda image: features.graph(image, ranges), images.shape)
        extractor = runtime.load_tflite(tflite.convert_int8(exported, int8_output=False), Path("int8 backbone"))
    fit = _fit(settings, split, images, extractor.score, start=float_fit)
    divisor = _divisor(settings, fit)
    steps = _suggested(settings, fit) / divisor / STEPS_TO_THRESHOLD
    detector = Detector(features, fit.scorer, divisor, ranges, INT8_STEPS * steps)
    with step(f"Converting to {tflite.INT8_FILE}"):
        content = tflite.convert_int8(Exported(detector.graph, images.shape))
        if isinstance(fit.scorer, PatchCoreScorer):
            content = tflite_file.store_as_int8(content, fit.scorer.kernel_step)
    model = runtime.load_tflite(content, Path(tflite.INT8_FILE))
    thresholds = _decide(settings, fit, lambda scores: model.output.decode(model.output.encode(scores / divisor)))
    record = _record(content, TensorInfo.of(model.input), TensorInfo.of(model.output), thresholds)
    return {tflite.INT8_FILE: _Model(content, record)}


def _feature_error(exact: Network, rounded: Network, ranges: Ranges, images: Array) -> float:
    """The mean error of the wanted tensors, on a few images spread over the given ones."""
    errors = quantization.errors(exact, rounded, ranges, images[:: max(1, len(images) // ERROR_IMAGES)])
    return float(np.mean([errors[name] for name in exact.outputs]))


def _fit(settings: TrainSettings, split: Split, images: Images, extract: Extract, start: Fit | None = None) -> Fit:
    memory_limit = settings.memory_limit * 2**20
    source = FeatureSource(images, extract, memory_limit)
    if settings.scorer() == "gmm":
        return fitting.fit_gmm(source, split.ids, CAPACITIES[settings.capacity], settings.seed, start)
    return fitting.fit_patchcore(
        source, split.ids, settings.sampling_ratio, settings.k, settings.seed, memory_limit, start
    )


def _decide(settings: TrainSettings, fit: Fit, as_put_out: Callable[[Array], Array]) -> Threshold:
    """Thresholds for a model file whose output turns the scorer's scores into `as_put_out(scores)`."""
    return threshold.decide(
        as_put_out(fit.train_scores),
        as_put_out(fit.held_out_scores),
        settings.threshold_method,
        settings.false_positive_rate,
    )


def _suggested(settings: TrainSettings, fit: Fit) -> float:
    return _decide(settings, fit, lambda scores: scores).suggested


def _divisor(settings: TrainSettings, fit: Fit) -> float:
    return _suggested(settings, fit) if settings.score_scale == "threshold" else 1.0


def _calibration_images(images: Images) -> Array:
    """Training images spread evenly over the set, for the int8 ranges and biases."""
    count = min(len(images), CALIBRATION_IMAGES)
    return images.rows(np.arange(count) * len(images) // count)


def _open_training_split(settings: TrainSettings, directory: Path, info_file: Path | None) -> tuple[Split, Images]:
    """Open and check everything that training reads.

    Raises UserError for too few images, values that are no images of the scaling, and images labelled anomaly.
    """
    split = dataset.open_split(
        directory, "train", settings.image_input_scaling, dataset.read_info(info_file, directory)
    )
    images = split.images
    if images is None or len(images) < MIN_IMAGES:
        raise UserError(
            f"{directory} holds {len(split)} training images: at least {MIN_IMAGES} of good parts are needed."
        )
    _refuse_anomalies(split, directory)
    lowest, highest = math.inf, -math.inf
    for rows, batch in track(images.batches(), "Checking training images", len(images), lambda item: len(item[1])):
        low, high = dataset.check_values(images, rows, batch)
        lowest, highest = min(lowest, low), max(highest, high)
    if lowest == highest:
        raise UserError(f"All training images in {directory} are of one constant value {lowest:g}: give real images.")
    doubt = dataset.scaling_doubt(images, lowest, highest)
    if doubt:
        log(f"Warning: {doubt}; if so, set --image-input-scaling.")
    height, width, channels = images.shape
    log(f"{len(images)} training images of {width} x {height} pixels, {channels} channel(s)")
    if height != width:
        log("Warning: the images are not square; Edge Impulse's device library reads such score grids transposed.")
    return split, images


def _refuse_anomalies(split: Split, directory: Path) -> None:
    found = [
        sample
        for sample, label in zip(split.ids, split.labels, strict=True)
        if label is not None and labels.means_anomaly(label)
    ]
    if found:
        shown = ", ".join(found[:SHOWN_IDS]) + (", ..." if len(found) > SHOWN_IDS else "")
        raise UserError(
            f"{len(found)} training images in {directory} are labelled anomaly (sample ids {shown}): training takes "
            "good parts only, so move them to the test set or correct their labels."
        )


def _profile(name: str, content: bytes) -> Profile:
    """Measure and show what a TFLite model asks of a device."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with step(f"Measuring what {name} asks of a device"):
            measured = profile.profile_model(path)
    log(profile.table(measured))
    return measured


def _record(content: bytes, image: TensorInfo, scores: TensorInfo, thresholds: Threshold) -> ModelFile:
    digest = hashlib.sha256(content).hexdigest()
    return ModelFile(sha256=digest, bytes=len(content), input=image, output=scores, threshold=thresholds)


def _metadata(
    settings: TrainSettings,
    split: Split,
    images: Images,
    weights: Weights,
    features: Features,
    models: dict[str, ModelFile],
) -> AnomalyMetadata:
    thresholds = models[tflite.FLOAT_FILE].threshold
    _, rows, columns = models[tflite.FLOAT_FILE].output.shape
    height, width, channels = images.shape
    versions = {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return AnomalyMetadata(
        nominalThresholdScore=thresholds.max_train,
        threshold=thresholds,
        scoring_function=settings.scorer(),
        settings=settings.model_dump(),
        backbone=BackboneInfo(
            name=settings.backbone,
            layers=list(features.network.outputs),
            weights=weights.origin,
            weights_sha256=weights.sha256(),
        ),
        input=InputInfo(
            height=height,
            width=width,
            channels=channels,
            scaling=settings.image_input_scaling,
            resize=split.resize,
        ),
        grid=Grid(rows=rows, columns=columns),
        training_images=len(images),
        versions={"fomoad": fomoad.__version__} | versions,
        models=models,
    )


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"


_FLOAT_CONVERSIONS: Final[dict[str, Callable[[Exported], bytes]]] = {
    tflite.FLOAT_FILE: tflite.convert,
    onnx_file.FILE: onnx_file.convert,
    saved_model.FILE: saved_model.convert,
}
