"""`fomoad calibrate`: a threshold chosen from labelled good and bad images, into the metadata of every model file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomoad.data import dataset
from fomoad.data.label_names import LabelNames, anomalous_flags, kept_label_names
from fomoad.errors import UserError
from fomoad.evaluation import objectives
from fomoad.evaluation.evaluate import digest, read_metadata, score_images
from fomoad.evaluation.objectives import Objective
from fomoad.evaluation.results import verdict_intervals
from fomoad.export import output_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata, Calibration, Figures, Threshold
from fomoad.progress import log, warn


@dataclass(frozen=True)
class Labelled:
    """The labelled test images: their rows (N,), which show a defect (N,), and the samples that they are of."""

    rows: NDArray[np.int64]
    anomalous: NDArray[np.bool_]
    ids: list[str]


def run(
    models: Path, data_directory: Path, objective: Objective, label_names: LabelNames | None = None
) -> AnomalyMetadata:
    """Choose a threshold for the model files of a training, write it into their metadata, and return those.

    The labelled images of the test split decide. Raises UserError where files are missing, damaged or changed, or the
    images are too few for the objective; the metadata stay as they were then.
    """
    with output_directory.reserve(models):
        metadata = read_metadata(models / METADATA_FILE)
        check_files(models, metadata)
        image_scaling = metadata.input.scaling
        split = dataset.open_split(data_directory, "test", image_scaling)
        if split.images is None:
            raise UserError(f"{data_directory} has no test images: calibration needs good and defective ones.")
        if split.tiling != metadata.input.tiles:
            raise UserError(
                f"{models} was trained on photos cut in another way than those in {data_directory}: import these again."
            )
        names = (label_names or LabelNames()).over(kept_label_names(data_directory))
        photos = split.photos()
        labelled = _labelled(anomalous_flags(photos.labels, names), photos.ids)
        objectives.check_enough(labelled.anomalous, objective)
        if not objectives.can_cross_validate(labelled.anomalous, labelled.ids):
            raise UserError(
                f"{data_directory} shows one sample with or without defects: at least two of each are needed."
            )
        chosen = {}
        for dtype, file in _scored_files(metadata).items():
            log(f"Scoring with {file}")
            found = score_images(load_model(models / file), split.images).max(axis=(1, 2))
            found = split.tiling.highest(found) if split.tiling else found
            scores = found.astype(np.float64)[labelled.rows]
            chosen[dtype] = calibrate(
                metadata.models[file].threshold, scores, labelled, objective, _step(metadata, file)
            )
        for record in metadata.models.values():
            record.threshold = chosen[record.output.dtype]
        metadata.threshold = chosen["float32"]
        metadata.nominalThresholdScore = metadata.threshold.suggested
        output_directory.publish(models, {METADATA_FILE: metadata.model_dump_json(indent=2).encode() + b"\n"})
    for line in _lines(metadata):
        log(line)
    if metadata.settings.get("score_scale") == "threshold":
        warn("The scores are divided so that the training's threshold was 1; the calibrated one is another value.")
    log(f"Wrote {models / METADATA_FILE}")
    return metadata


def calibrate(
    trained: Threshold,
    scores: NDArray[np.float64],
    labelled: Labelled,
    objective: Objective,
    step: float | None,
) -> Threshold:
    """The thresholds of a file with the one that the objective asks for, on scores (N,), as the suggested one.

    An int8 output moves in steps of `step`: the threshold lies half-way between two, which gives the same verdicts.
    """
    value = objectives.choose(scores, labelled.anomalous, objective)
    if step is not None:
        value = (math.ceil(value / step - 1e-6) - 0.5) * step
    flagged = (scores >= value).astype(float)
    honest = objectives.cross_validated(scores, labelled.anomalous, labelled.ids, objective)
    calibration = Calibration(
        objective=str(objective),
        good=int((~labelled.anomalous).sum()),
        defects=int(labelled.anomalous.sum()),
        samples=len(set(labelled.ids)),
        hindsight=_figures(flagged, labelled),
        cross_validated=_figures(honest, labelled),
    )
    return trained.model_copy(update={"suggested": value, "method": "calibrated", "calibration": calibration})


def check_files(models: Path, metadata: AnomalyMetadata) -> None:
    """Raise UserError where a model file of the metadata is missing or is another one."""
    for name, record in metadata.models.items():
        path = models / name
        if not path.is_file() or digest(path) != record.sha256:
            raise UserError(f"{path} is missing or not the file that {METADATA_FILE} describes: train again.")


def _labelled(flags: list[bool | None], ids: list[str]) -> Labelled:
    rows = [row for row, flag in enumerate(flags) if flag is not None]
    return Labelled(np.array(rows, np.int64), np.array([flags[row] for row in rows], bool), [ids[row] for row in rows])


def _scored_files(metadata: AnomalyMetadata) -> dict[str, str]:
    """A file to score with for each type of output: all float32 files are conversions of one model."""
    files: dict[str, str] = {}
    for name, record in metadata.models.items():
        if name.endswith(".tflite"):
            files[record.output.dtype] = name
    return files


def _step(metadata: AnomalyMetadata, file: str) -> float | None:
    return metadata.models[file].output.scale


def _figures(flagged: NDArray[np.float64], labelled: Labelled) -> Figures:
    anomalous = labelled.anomalous
    hits = float((flagged * anomalous).sum())
    return Figures(
        recall=float(flagged[anomalous].mean()),
        false_positive_rate=float(flagged[~anomalous].mean()),
        f1=2 * hits / float(flagged.sum() + anomalous.sum()),
        intervals=verdict_intervals(flagged, anomalous, labelled.ids),
    )


def _lines(metadata: AnomalyMetadata) -> Iterator[str]:
    """What was chosen and what it will do, for the log."""
    for name, record in metadata.models.items():
        found = record.threshold.calibration
        if found is None or not name.endswith(".tflite"):
            continue
        yield (
            f"{name}: threshold {record.threshold.suggested:.6g} for {found.objective}, from {found.good} good images "
            f"and {found.defects} with defects ({found.samples} samples)"
        )
        yield f"  on new images, by cross-validation: {_described(found.cross_validated)}"
        yield f"  on these very images, in hindsight: {_described(found.hindsight)}"


def _described(figures: Figures) -> str:
    words = {"recall": "defects found", "false_positive_rate": "false alarms", "f1": "F1"}
    return ", ".join(
        f"{word} {getattr(figures, name):.1%} ({figures.intervals[name].low:.1%} to {figures.intervals[name].high:.1%})"
        for name, word in words.items()
        if name in figures.intervals
    )
