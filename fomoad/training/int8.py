"""The int8 model: a network that int8 kernels round little away of, and thresholds on steps of its output."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.backbones.graph import INT8_STEPS, Network, Ranges
from fomoad.data import scaling
from fomoad.data.dataset import Images
from fomoad.export import tflite, widening
from fomoad.export.trace import Exported
from fomoad.features.pooling import Features
from fomoad.inference.runtimes import load_tflite
from fomoad.metadata import TensorInfo
from fomoad.progress import log, step
from fomoad.quantization import calibration, equalization
from fomoad.scorers.scorer import Scorer
from fomoad.settings import TrainSettings
from fomoad.training.detector import DetectorGraph
from fomoad.training.fit import Scored
from fomoad.training.model_files import Model, file_thresholds, model_record, score_divisor, suggested_threshold

Array = NDArray[np.float32]

CALIBRATION_IMAGES: Final = 200
"""Training images that the int8 ranges and biases are measured on."""
ERROR_IMAGES: Final = 20
"""Of those, images that the rounding's error is measured on, for the log."""
STEPS_TO_THRESHOLD: Final = 63.5
"""The int8 output's steps from 0 to the threshold, which is thus a quarter of the range and half-way between two."""
ABOVE_TIES: Final = 1 + 2e-6
"""A conformal threshold is just above the score that must not reach it: that one must not be rounded up to it."""
MIN_HIGHEST: Final = 10
HIGHEST_SHARE: Final = 20
"""A threshold is carried over by the scores of the highest 1/20 of the training images, and at least of ten."""


def round_network(settings: TrainSettings, images: Images, features: Features) -> tuple[Features, Ranges]:
    """The features for int8 kernels, their network equalised and its biases corrected, and the ranges of its values."""
    some = _calibration_images(images)
    with step("Equalising channels for int8"):
        equal = equalization.equalise(features.network, some)
    ranges = calibration.calibrate(equal, some, scaling.int8_range(settings.image_input_scaling, images.shape[2]))
    with step("Correcting biases for int8"):
        rounded = calibration.correct_biases(equal, ranges, some)
        error = _feature_error(features.network, rounded, ranges, some)
    log(f"  int8 puts the features off by {error:.0%} of how they vary")
    return replace(features, network=rounded), ranges


def convert_int8(
    settings: TrainSettings,
    features: Features,
    ranges: Ranges,
    image_shape: tuple[int, int, int],
    float_fit: Scored,
    fit: Scored,
) -> Model:
    """Convert a fit to int8 features, and give it thresholds on steps of its own output."""
    suggested = own_threshold(settings, float_fit, fit)
    divisor = score_divisor(settings, suggested)
    steps = suggested / divisor / STEPS_TO_THRESHOLD
    content = int8_content(features, fit.scorer, ranges, image_shape, divisor, INT8_STEPS * steps)
    model = load_tflite(content, tflite.INT8_FILE)

    def output_transform(scores: Array) -> Array:
        return model.output.decode(model.output.encode(scores / divisor))

    output_step = model.output.scale
    assert output_step is not None, "the model is an int8 one"
    highest = carried_over(float_fit, fit, float_fit.highest) / divisor
    # Half-way between two steps, so that the scores themselves are never at the threshold except by rounding.
    highest = (math.floor(highest / output_step) + 0.5) * output_step
    chosen = file_thresholds(settings, fit, output_transform, output_step, highest)
    if settings.score_scale == "threshold":
        chosen = chosen.as_one()
    record = model_record(content, TensorInfo.of(model.input), TensorInfo.of(model.output), chosen)
    return Model(content, record, output_transform)


def int8_content(
    features: Features,
    scorer: Scorer,
    ranges: Ranges,
    image_shape: tuple[int, int, int],
    divisor: float,
    highest_score: float,
) -> bytes:
    """The int8 TFLite model of a scorer of int8 features; its output's range ends at `highest_score`."""
    detector = DetectorGraph(features, scorer, divisor, ranges, highest_score)
    with step(f"Converting to {tflite.INT8_FILE}"):
        return widening.read_codes_by_cast(tflite.convert_int8(Exported(detector.graph, image_shape)))


def own_threshold(settings: TrainSettings, float_fit: Scored, fit: Scored) -> float:
    """The int8 model's threshold, in its scorer's own units.

    A conformal one is its own, for the promise's sake. That of the rule `max` depends on the single highest image,
    which rounding moves most, so the float32 model's is carried over: times the median ratio of int8 to float32 scores
    among the highest images. Thus both models tell the same images apart.
    """
    if settings.threshold_method == "conformal":
        return suggested_threshold(settings, fit) * ABOVE_TIES
    return carried_over(float_fit, fit, suggested_threshold(settings, float_fit))


def carried_over(float_fit: Scored, fit: Scored, threshold: float) -> float:
    """A threshold of the float32 scorer in the int8 one's units, by the highest images' scores from both.

    Images that an update took in are none of them: those of a new kind int8 may clip.
    """
    order = np.argsort(float_fit.promised, kind="stable")
    highest = order[-max(MIN_HIGHEST, len(order) // HIGHEST_SHARE) :]
    before, after = float_fit.promised[highest], fit.promised[highest]
    return threshold * float(np.median(after[before > 0] / before[before > 0]))


def _feature_error(exact: Network, rounded: Network, ranges: Ranges, images: Array) -> float:
    """The mean error of the wanted tensors, on a few images spread over the given ones."""
    errors = calibration.errors(exact, rounded, ranges, images[:: max(1, len(images) // ERROR_IMAGES)])
    return float(np.mean([errors[name] for name in exact.outputs]))


def _calibration_images(images: Images) -> Array:
    """Training images spread evenly over the set, for the int8 ranges and biases."""
    count = min(len(images), CALIBRATION_IMAGES)
    return images.rows(np.arange(count) * len(images) // count)
