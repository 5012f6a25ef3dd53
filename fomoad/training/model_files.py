"""A fit to model files: their contents, thresholds and what the metadata say of each."""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.device import profile
from fomoad.device.profile import Profile
from fomoad.export import onnx_file, saved_model, tflite
from fomoad.export.trace import Exported
from fomoad.features.pooling import Features
from fomoad.metadata import ModelFile, TensorInfo, Threshold
from fomoad.progress import log, step
from fomoad.settings import TrainSettings
from fomoad.training import sampling, thresholds
from fomoad.training.detector import DetectorGraph
from fomoad.training.fit import Scored
from fomoad.training.thresholds import HeldOut
from fomoad.vote import Vote

Array = NDArray[np.float32]


OutputTransform = Callable[[Array], Array]
"""A scorer's scores (n,) to those that a model file puts out."""


@dataclass(frozen=True)
class Model:
    """A model file: its bytes, what the metadata say of it, and what it makes of its scorer's scores."""

    content: bytes
    record: ModelFile
    output_transform: OutputTransform


def convert_float(
    settings: TrainSettings, image_shape: tuple[int, int, int], features: Features, fit: Scored
) -> dict[str, Model]:
    """Convert a fit to the float32 formats, and measure the TFLite model meanwhile."""
    divisor = score_divisor(settings, suggested_threshold(settings, fit))

    def output_transform(scores: Array) -> Array:
        return scores / np.float32(divisor)

    chosen = file_thresholds(settings, fit, output_transform)
    if settings.score_scale == "threshold":
        chosen = chosen.as_one()
    exported = Exported(DetectorGraph(features, fit.scorer, divisor).graph, image_shape)
    image = TensorInfo(shape=[1, *image_shape], dtype="float32")
    scores = TensorInfo(shape=[1, *exported.grid], dtype="float32")
    models = {}
    with ThreadPoolExecutor(1) as beside:
        for name, convert in _FLOAT_CONVERSIONS.items():
            with step(f"Converting to {name}"):
                content = convert(exported)
            models[name] = Model(content, model_record(content, image, scores, chosen), output_transform)
            if name == tflite.FLOAT_FILE:
                measured = beside.submit(measure, name, content)
        with step(f"Measuring what {tflite.FLOAT_FILE} needs on a device"):
            models[tflite.FLOAT_FILE].record.profile = measured.result()
    return models


def model_record(content: bytes, image: TensorInfo, scores: TensorInfo, thresholds: Threshold) -> ModelFile:
    """What the metadata say of a model file with these contents, input, output and thresholds."""
    digest = hashlib.sha256(content).hexdigest()
    return ModelFile(sha256=digest, bytes=len(content), input=image, output=scores, threshold=thresholds)


def measure(name: str, content: bytes) -> Profile:
    """Measure and show what a TFLite model needs on a device."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        measured = profile.profile_model(path)
    log(f"What {name} needs on a device:\n{profile.table(measured)}")
    return measured


def file_thresholds(
    settings: TrainSettings,
    fit: Scored,
    output_transform: OutputTransform,
    step: float | None = None,
    highest: float | None = None,
) -> Threshold:
    """Thresholds for a model file whose output turns the scorer's scores into `output_transform(scores)`.

    `step` is the size of the output's steps, None for float32; `highest` is the threshold of the rule `max`, where it
    is not that of the fit's own highest score.
    """
    held_out = HeldOut(output_transform(fit.held_out_scores), fit.samples, step)
    if highest is None:
        highest = held_out.at(float(output_transform(np.array([fit.highest], np.float32))[0]))
    method, rate = settings.threshold_method, settings.false_positive_rate
    folds, vote = sampling.fold_count(held_out.sample_count), Vote.parse(settings.vote)
    return thresholds.choose(held_out, method, rate, folds, highest, vote)


def suggested_threshold(settings: TrainSettings, fit: Scored) -> float:
    """The threshold to use, in the scorer's own units."""
    return file_thresholds(settings, fit, lambda scores: scores).suggested


def score_divisor(settings: TrainSettings, suggested: float) -> float:
    """What scores are divided by, as `score_scale` says, where `suggested` is the threshold to use."""
    return suggested if settings.score_scale == "threshold" else 1.0


_FLOAT_CONVERSIONS: Final[dict[str, Callable[[Exported], bytes]]] = {
    tflite.FLOAT_FILE: tflite.convert,
    onnx_file.FILE: onnx_file.convert,
    saved_model.FILE: saved_model.convert,
}
