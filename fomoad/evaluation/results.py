"""Scores and labels to the content of results.json."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fomoad.evaluation import objectives, uncertainty
from fomoad.inference.model import Format
from fomoad.metadata import (
    BackboneInfo,
    Detection,
    DetectionCurve,
    Grid,
    InputInfo,
    Interval,
    LearningCurve,
    Record,
    Threshold,
    Tuning,
)
from fomoad.metrics import image_metrics
from fomoad.metrics.pixel_metrics import count_pixels

SCHEMA_VERSION = 1
ANOMALY: Final = "anomaly"
NO_ANOMALY: Final = "no anomaly"


class PhotoSize(Record):
    """Of a photo that is cut into tiles, in pixels."""

    height: int
    width: int


class ModelSummary(Record):
    """The model file that was tested, and how it was trained where its metadata lie beside it."""

    file: str
    format: Format
    sha256: str
    bytes: int
    input_type: str
    input: InputInfo
    grid: Grid
    scoring_function: str | None = None
    backbone: BackboneInfo | None = None
    settings: dict[str, object] | None = None
    training_images: int | None = None
    tuning: Tuning | None = None
    photo: PhotoSize | None = Field(
        None, description="The size that photos are cut into tiles at, which the grid lies on; None where they are not."
    )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of what the grid lies on."""
        image = self.photo or self.input
        return image.height, image.width

    def counted_pixels(self) -> NDArray[np.bool_] | None:
        """Which pixels (height, width) count: those nearest to a cell that does; None: all do."""
        counted = self.grid.counted()
        return None if counted is None else self.grid.geometry(*self.size).at_pixels(counted, *self.size)


class ConfusionCounts(Record):
    """How many labelled images got which verdict; positive means called anomalous."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


class BestF1(Record):
    """The threshold that gives the highest F1 on these test images: a hindsight, no estimate."""

    threshold: float
    f1: float
    cross_validated: float | None = Field(
        None, description="F1 of thresholds chosen so on nine tenths of the samples, on the others."
    )
    cross_validated_interval: Interval | None = None


class Curves(Record):
    """What every threshold gives, from the highest down: one entry a distinct image score."""

    threshold: list[float]
    recall: list[float] | None
    precision: list[float]
    false_positive_rate: list[float] | None


class PixelMetrics(Record):
    """How well the grids, interpolated bilinearly between their cells' middles, outline the defects."""

    auroc: float
    aupro: float = Field(description="Area under the per-region overlap up to a false positive rate of 0.3.")
    regions: int


class ImageResult(Record):
    """One test image."""

    row: int = Field(description="Row in X_split_test.npy, from 0; the number of the photo, where photos were cut.")
    id: str
    file_name: str | None
    label: str | None
    anomalous: bool | None = Field(description="What the label means; None where there is no label.")
    score: float = Field(description="The highest score of the grid.")
    verdict: Literal["anomaly", "no anomaly"]
    grid: list[list[float]] = Field(description="Rows from top to bottom, each from left to right.")


class KindResult(Record):
    """How well one kind of defect is told from the good images, by the labels of the test images."""

    label: str
    images: int
    found: int = Field(description="Images whose score reaches the threshold.")
    recall: float
    auroc: float | None = Field(description="Against all good test images; None where there are none.")


class RealDefects(Record):
    """The defects of the test images with masks, one entry a defect: held beside the made ones."""

    size: list[float] = Field(description="Length of the largest connected region of the mask, in pixels.")
    found: list[bool]
    curve: DetectionCurve


class Results(Record):
    """The content of results.json. A figure that has no meaning is null, and `undefined` says why."""

    schema_version: int = SCHEMA_VERSION
    model: ModelSummary
    threshold: float
    threshold_source: Literal["metadata", "command line"]
    trained_threshold: Threshold | None = Field(description="What the training suggests for this file.")
    best_f1: BestF1 | None
    class_names: list[str]
    auroc: float | None
    average_precision: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    false_positive_rate: float | None = Field(None, description="Share of the normal images that are false alarms.")
    intervals: dict[str, Interval] = Field({}, description="95 % intervals of the figures above, by their names.")
    confusion: ConfusionCounts | None
    pixel: PixelMetrics | None
    undefined: dict[str, str]
    curves: Curves | None
    images: list[ImageResult]
    detection: Detection | None = Field(
        default=None, description="Which made defects are found: measured here where no image shows a real one."
    )
    real_defects: RealDefects | None = None
    learning_curve: LearningCurve | None = Field(default=None, description="What the training says of more photos.")
    kinds: list[KindResult] = Field(default=[], description="By label, the kind that is found worst first.")


@dataclass(frozen=True)
class Samples:
    """What is known of the test images, one entry a row."""

    ids: Sequence[str]
    file_names: Sequence[str | None]
    labels: Sequence[str | None]
    anomalous: Sequence[bool | None]
    masks: Iterable[NDArray[np.bool_]] | None = None
    """One (height, width) an image, True where the defect is."""


@dataclass(frozen=True)
class Decision:
    """The threshold to test with, and where it comes from."""

    threshold: float
    source: Literal["metadata", "command line"]
    trained: Threshold | None


def evaluate(model: ModelSummary, decision: Decision, grids: NDArray[np.float32], samples: Samples) -> Results:
    """Compare scores with labels. grids: (N, rows, columns), N >= 1, finite."""
    scores = grids.max(axis=(1, 2)).astype(np.float64)
    labelled = np.array([flag is not None for flag in samples.anomalous])
    truth = np.array([flag for flag in samples.anomalous if flag is not None], bool)
    points = image_metrics.operating_points(scores[labelled], truth)
    counts = image_metrics.confusion(scores[labelled], truth, decision.threshold)
    best = image_metrics.best_f1(points)
    pixel, no_pixel = _pixel_metrics(grids, samples, model)
    figures = {
        "auroc": image_metrics.auroc(points),
        "average_precision": image_metrics.average_precision(points),
        "f1": counts.f1,
        "precision": counts.precision,
        "recall": counts.recall,
        "false_positive_rate": counts.false_positive_rate,
    }
    ids = [each for each, flag in zip(samples.ids, samples.anomalous, strict=True) if flag is not None]
    undefined = {name: _why_undefined(name, points) for name, value in figures.items() if value is None}
    return Results(
        model=model,
        threshold=decision.threshold,
        threshold_source=decision.source,
        trained_threshold=decision.trained,
        best_f1=_best_f1(scores[labelled], truth, ids, best) if best else None,
        class_names=sorted({label for label in samples.labels if label is not None}),
        auroc=figures["auroc"],
        average_precision=figures["average_precision"],
        f1=figures["f1"],
        precision=figures["precision"],
        recall=figures["recall"],
        false_positive_rate=figures["false_positive_rate"],
        intervals=intervals(scores[labelled], truth, ids, decision.threshold) if len(truth) else {},
        confusion=ConfusionCounts(**vars(counts)) if len(truth) else None,
        pixel=pixel,
        undefined=undefined if pixel else undefined | {"pixel": no_pixel},
        curves=_curves(points) if len(truth) else None,
        images=_image_results(decision.threshold, grids, scores, samples),
    )


def intervals(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_], ids: Sequence[str], threshold: float
) -> dict[str, Interval]:
    """The 95 % intervals of the figures of labelled images (N,) at a threshold that have any meaning."""
    flagged = (scores >= threshold).astype(float)
    return verdict_intervals(flagged, anomalous, ids, {"auroc": uncertainty.weighted_auroc(scores, anomalous)})


def verdict_intervals(
    flagged: NDArray[np.float64],
    anomalous: NDArray[np.bool_],
    ids: Sequence[str],
    others: Mapping[str, uncertainty.Statistic] = MappingProxyType({}),
) -> dict[str, Interval]:
    """The 95 % intervals of recall, false positive rate, F1 and other figures, of verdicts (N,) from 0 to 1."""
    rates = {"recall": anomalous, "false_positive_rate": ~anomalous}
    statistics = {name: uncertainty.weighted_share(flagged, among) for name, among in rates.items()}
    drawn = uncertainty.intervals({**others, **statistics, "f1": uncertainty.weighted_f1(flagged, anomalous)}, ids)
    for name, among in rates.items():
        if name in drawn:
            drawn[name] = uncertainty.share_interval(drawn[name], among, ids, float(flagged[among].mean()))
    return {name: Interval(low=low, high=high) for name, (low, high) in drawn.items()}


def _best_f1(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_], ids: Sequence[str], best: tuple[float, float]
) -> BestF1:
    if not objectives.can_cross_validate(anomalous, ids):
        return BestF1(threshold=best[0], f1=best[1])
    flagged = objectives.cross_validated(scores, anomalous, ids, objectives.Objective("f1"))
    ones = np.ones(len(scores))
    return BestF1(
        threshold=best[0],
        f1=best[1],
        cross_validated=uncertainty.weighted_f1(flagged, anomalous)(ones),
        cross_validated_interval=verdict_intervals(flagged, anomalous, ids).get("f1"),
    )


def _image_results(
    threshold: float, grids: NDArray[np.float32], scores: NDArray[np.float64], samples: Samples
) -> list[ImageResult]:
    return [
        ImageResult(
            row=row,
            id=samples.ids[row],
            file_name=samples.file_names[row],
            label=samples.labels[row],
            anomalous=samples.anomalous[row],
            score=float(score),
            verdict=ANOMALY if score >= threshold else NO_ANOMALY,
            grid=grids[row].tolist(),
        )
        for row, score in enumerate(scores)
    ]


def _curves(points: image_metrics.OperatingPoints) -> Curves:
    return Curves(
        threshold=points.thresholds.tolist(),
        recall=points.recall.tolist() if points.positives else None,
        precision=points.precision.tolist(),
        false_positive_rate=points.false_positive_rate.tolist() if points.negatives else None,
    )


def _why_undefined(name: str, points: image_metrics.OperatingPoints) -> str:
    if not points.positives and not points.negatives:
        return "no test image has a label"
    if not points.positives and name not in ("precision", "false_positive_rate"):
        return "no test image is labelled as an anomaly"
    if not points.negatives and name in ("auroc", "false_positive_rate"):
        return "no test image is labelled as normal"
    return "no labelled image is called anomalous at this threshold"


def _pixel_metrics(
    grids: NDArray[np.float32], samples: Samples, model: ModelSummary
) -> tuple[PixelMetrics | None, str]:
    """Figures per pixel, or the reason why there are none."""
    if samples.masks is None:
        return None, "there are no masks of the defects"
    counts = count_pixels(grids, samples.masks, model.grid.geometry(*model.size), model.grid.counted())
    if not counts.regions:
        return None, "the masks mark no defect where cells count" if model.grid.ignored else "the masks mark no defect"
    if not counts.normal.sum():
        return None, "the masks leave no normal pixel"
    return PixelMetrics(auroc=counts.auroc(), aupro=counts.aupro(), regions=counts.regions), ""
