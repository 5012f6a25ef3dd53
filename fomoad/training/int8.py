"""Training for int8: a scorer of its own for what int8 kernels give, and a memory bank that keeps the limits."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones.graph import Network, Ranges
from fomoad.data import scaling
from fomoad.data.dataset import Images, Split
from fomoad.device.profile import Profile
from fomoad.errors import UserError
from fomoad.export import tflite, tflite_file
from fomoad.export.trace import Exported
from fomoad.features import extractor
from fomoad.features.pooling import Features
from fomoad.features.store import FeatureSource
from fomoad.inference.model import load_tflite
from fomoad.metadata import TensorInfo
from fomoad.progress import log, step
from fomoad.quantization import calibration, equalization
from fomoad.scorers.gmm import CAPACITIES
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.settings import TrainSettings
from fomoad.training.detector import Detector
from fomoad.training.fit import Fit, fit_gmm, fit_patchcore
from fomoad.training.model_files import Model, decide, measure, model_record, score_divisor, suggested_threshold

Array = NDArray[np.float32]

CALIBRATION_IMAGES: Final = 200
"""Training images that the int8 ranges and biases are measured on."""
ERROR_IMAGES: Final = 20
"""Of those, images that the rounding's error is measured on, for the log."""
STEPS_TO_THRESHOLD: Final = 64
"""The int8 output's steps from 0 to the threshold, which is thus a quarter of the range and falls on a step."""
INT8_STEPS: Final = 255
MIN_HIGHEST: Final = 10
HIGHEST_SHARE: Final = 20
"""A threshold is carried over by the scores of the highest 1/20 of the training images, and at least of ten."""
MIN_BANK: Final = 10
"""Fewer entries than this are no memory bank."""


def train_within_limits(
    settings: TrainSettings, split: Split, images: Images, features: Features, work_directory: Path | None
) -> tuple[TrainSettings, Fit, Model]:
    """Fit in float32 and int8, with a smaller memory bank where the int8 model would not fit into the flash.

    Features that are too many for the memory are stored in the work directory meanwhile (see FeatureSource).

    Returns the settings that were used in the end, the float32 fit and the int8 model.

    Raises UserError where the limits cannot be kept.
    """
    memory_limit = settings.memory_limit * 2**20
    with step("Compiling the backbone"):
        source = FeatureSource(images, extractor.extractor(features), memory_limit, work_directory)
    fit = _fit(settings, split, source)
    rounded, ranges = _round_network(settings, images, features)
    with step("Converting the backbone to int8"):
        extract = extractor.extractor(rounded, ranges)
    int8_source = FeatureSource(images, extract, memory_limit, work_directory)
    while True:
        model = _train_int8(settings, split, int8_source, rounded, ranges, fit)
        with step(f"Measuring what {tflite.INT8_FILE} asks of a device"):
            model.record.profile = measure(tflite.INT8_FILE, model.content)
        entries = _entries_to_drop(settings, fit, model.record.profile)
        if entries == 0:
            return settings, fit, model
        assert isinstance(fit.scorer, PatchCoreScorer)
        kept = len(fit.scorer.bank) - entries
        log(f"The memory bank shrinks by {entries} to {kept} entries to fit --max-flash {settings.max_flash}.")
        patches = len(images) * fit.scorer.standardise.places
        settings = settings.model_copy(update={"sampling_ratio": kept / patches})
        fit = _fit(settings, split, source)


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


def _round_network(settings: TrainSettings, images: Images, features: Features) -> tuple[Features, Ranges]:
    """The features for int8 kernels, their network equalised and its biases corrected, and the ranges of its values."""
    some = _calibration_images(images)
    with step("Equalising channels for int8"):
        equal = equalization.equalise(features.network, some)
    ranges = calibration.calibrate(equal, some, scaling.valid_range(settings.image_input_scaling, images.shape[2]))
    with step("Correcting biases for int8"):
        rounded = calibration.correct_biases(equal, ranges, some)
        error = _feature_error(features.network, rounded, ranges, some)
    log(f"  int8 puts the features off by {error:.0%} of how they vary")
    return replace(features, network=rounded), ranges


def _train_int8(
    settings: TrainSettings, split: Split, source: FeatureSource, features: Features, ranges: Ranges, float_fit: Fit
) -> Model:
    """Fit once more, on the features that int8 kernels really give, and convert to int8.

    The fit starts from the float one: fitted from nothing, a mixture ends in another optimum and a memory bank
    takes other patches, which moves scores by more than the kernels' rounding does.
    """
    fit = _fit(settings, split, source, start=float_fit)
    suggested = own_threshold(settings, float_fit, fit)
    divisor = score_divisor(settings, suggested)
    steps = suggested / divisor / STEPS_TO_THRESHOLD
    detector = Detector(features, fit.scorer, divisor, ranges, INT8_STEPS * steps)
    with step(f"Converting to {tflite.INT8_FILE}"):
        content = tflite.convert_int8(Exported(detector.graph, source.images.shape))
        for constant_step in fit.scorer.constant_steps:
            content = tflite_file.store_as_int8(content, constant_step)
    model = load_tflite(content, Path(tflite.INT8_FILE))

    def as_put_out(scores: Array) -> Array:
        return model.output.decode(model.output.encode(scores / divisor))

    thresholds = decide(settings, fit, as_put_out)
    if settings.threshold_method == "max":
        carried = float(as_put_out(np.array([suggested], np.float32))[0])
        thresholds = thresholds.model_copy(update={"suggested": carried})
    record = model_record(content, TensorInfo.of(model.input), TensorInfo.of(model.output), thresholds)
    return Model(content, record)


def own_threshold(settings: TrainSettings, float_fit: Fit, fit: Fit) -> float:
    """The int8 model's threshold, in its scorer's own units.

    A conformal one is its own, for the promise's sake. That of the rule `max` hangs on the single highest image, which
    rounding moves most, so the float32 model's is carried over: times the median ratio of int8 to float32 scores among
    the highest images. Thus both models tell the same images apart.
    """
    if settings.threshold_method == "conformal":
        return suggested_threshold(settings, fit)
    order = np.argsort(float_fit.train_scores, kind="stable")
    highest = order[-max(MIN_HIGHEST, len(order) // HIGHEST_SHARE) :]
    before, after = float_fit.train_scores[highest], fit.train_scores[highest]
    return suggested_threshold(settings, float_fit) * float(np.median(after[before > 0] / before[before > 0]))


def _feature_error(exact: Network, rounded: Network, ranges: Ranges, images: Array) -> float:
    """The mean error of the wanted tensors, on a few images spread over the given ones."""
    errors = calibration.errors(exact, rounded, ranges, images[:: max(1, len(images) // ERROR_IMAGES)])
    return float(np.mean([errors[name] for name in exact.outputs]))


def _fit(settings: TrainSettings, split: Split, source: FeatureSource, start: Fit | None = None) -> Fit:
    if settings.scorer() == "gmm":
        return fit_gmm(source, split.ids, CAPACITIES[settings.capacity], settings.seed, start)
    memory_limit = settings.memory_limit * 2**20
    return fit_patchcore(
        source,
        split.ids,
        settings.sampling_ratio,
        settings.k,
        settings.seed,
        memory_limit,
        settings.pool_size,
        start,
    )


def _calibration_images(images: Images) -> Array:
    """Training images spread evenly over the set, for the int8 ranges and biases."""
    count = min(len(images), CALIBRATION_IMAGES)
    return images.rows(np.arange(count) * len(images) // count)
