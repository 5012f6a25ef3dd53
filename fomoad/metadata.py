"""The written record of a training: what was trained, with what, and which threshold fits which file."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fomoad.data.tiles import Tiling
from fomoad.device.profile import Profile
from fomoad.geometry import CellGeometry, evenly
from fomoad.inference import ignored_cells
from fomoad.inference.model import TensorSpec
from fomoad.settings import Source

SCHEMA_VERSION = 1


class Record(BaseModel):
    """A part of a written file: unknown fields of newer versions are kept out of the way, not refused."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


Score = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A threshold or a score, which the device compares: 0 or more, and finite."""


class Interval(Record):
    """The ends of a 95 % interval."""

    low: float
    high: float


class ThresholdChoice(Record):
    """A threshold to choose, and what it is expected to do. None: there are too few samples for this one."""

    rule: Literal["max", "conformal"]
    false_positive_rate: float | None = Field(description="The rate that a conformal threshold keeps on the mean.")
    threshold: Score | None
    samples_needed: int = Field(description="How many training samples this threshold takes at least.")
    expected_false_alarms: float | None = Field(
        None, description="The share of images of new good parts that it flags, on the mean of such trainings."
    )
    false_alarms_interval: Interval | None = Field(None, description="Where 95 % of such trainings lie.")
    expected_vote_alarms: float | None = Field(
        None,
        description="The share of images of new good parts at which the vote is an alarm, on the mean of such "
        "trainings, if images are flagged independently; None without a vote.",
    )
    theoretical_bound: float | None = Field(
        None, description="What theory warrants for cross-validated scores: about twice the rate."
    )
    made_defects_found: float | None = Field(None, description="The share of made defects that it flags.")


class Figures(Record):
    """What a threshold does to labelled images, with 95 % intervals by the figures' names."""

    recall: float
    false_positive_rate: float
    f1: float
    intervals: dict[str, Interval] = {}


class Calibration(Record):
    """How `fomoad calibrate` chose a threshold from labelled images, and what it will do on new ones."""

    objective: str
    good: int
    defects: int
    samples: int
    hindsight: Figures = Field(description="On the very images that it was chosen from.")
    cross_validated: Figures = Field(description="By thresholds chosen so without the samples that they are tested on.")


class Threshold(Record):
    """How the threshold to use was found. Scores are those of the model file that this belongs to."""

    suggested: Score
    method: Literal["max", "conformal", "calibrated"]
    max_train: Score = Field(
        description="The highest score of a training image by scorers that did not see it, the stock block's rule."
    )
    choices: list[ThresholdChoice] = []
    recommended: Score | None = Field(None, description="The choice that evidence speaks for.")
    warning: str | None = Field(None, description="Why the thresholds are not to be relied on, and what would help.")
    calibration: Calibration | None = None

    def as_one(self) -> "Threshold":
        """The same thresholds where scores were divided by the suggested one, which is then 1.0 exactly."""

        def exact(threshold: float | None) -> float | None:
            return 1.0 if threshold == self.suggested else threshold

        choices = [each.model_copy(update={"threshold": exact(each.threshold)}) for each in self.choices]
        return self.model_copy(update={"suggested": 1.0, "choices": choices, "recommended": exact(self.recommended)})


class TensorInfo(Record):
    """A model's input or output. real value = scale * (stored value - zero_point) where scale is given."""

    shape: list[int]
    dtype: Literal["float32", "int8"]
    scale: float | None = None
    zero_point: int | None = None

    @classmethod
    def of(cls, spec: TensorSpec) -> "TensorInfo":
        """The record of a loaded model's tensor."""
        return cls.model_validate(spec, from_attributes=True)


class DetectionCurve(Record):
    """How likely defects of a kind are found, over their size: 1 / (1 + exp(-(intercept + slope ln size)))."""

    kind: str = Field(description="A kind of made defect, or all of them.")
    contrast: str = Field(description="faint, strong, or all of them.")
    made: int
    found: int
    intercept: float | None = Field(description="None where all or none are found, or larger ones no more often.")
    slope: float | None
    a90: float | None = Field(description="Length in pixels that is found nine times in ten.")
    a90_95: float | None = Field(description="The same with a confidence of 95 %; None where the data do not say.")
    bound: list[float | None] = Field(
        default=[], description="Lengths found with the probabilities of `levels`, with a confidence of 95 %."
    )


class MadeDefects(Record):
    """The made defects behind the curves, one entry a defect in every list."""

    kind: list[str]
    contrast: list[str]
    size: list[float] = Field(description="Length from end to end, in pixels.")
    row: list[float] = Field(description="Of the defect's middle, from the image's top, in pixels.")
    column: list[float]
    found: list[bool]


class Detection(Record):
    """Which made defects a model file finds at its threshold: what it may find before there are real ones."""

    threshold: float
    images: int = Field(description="Good images that defects were made on.")
    split: Literal["train", "test"] = Field(description="Where the images are from; scorers saw none of them.")
    false_alarm_rate: float = Field(description="Share of these images that are flagged without any defect.")
    smallest: float = Field(description="Lengths in pixels that were tried, from and to.")
    largest: float
    side: int = Field(description="The image's shorter side in pixels.")
    levels: list[float] = Field(description="The probabilities that the curves' bounds are given for.")
    curves: list[DetectionCurve]
    defects: MadeDefects


class ModelFile(Record):
    """One artifact in the output directory."""

    sha256: str
    bytes: int
    input: TensorInfo
    output: TensorInfo
    threshold: Threshold
    profile: Profile | None = Field(default=None, description="What `fomoad profile` says, for TFLite files.")
    detection: Detection | None = Field(default=None, description="Which made defects it finds, for TFLite files.")


class BackboneInfo(Record):
    """The feature extractor and the origin of its weights."""

    name: str
    layers: list[str]
    weights: str = Field(description="Where the weights came from: imagenet, bundled, or a file's name.")
    weights_sha256: str


class InputInfo(Record):
    """What an image must look like before it reaches the model."""

    height: int
    width: int
    channels: int
    scaling: str
    resize: str | None = Field(None, description="How photos were brought to this size; None where nobody said it.")
    tiles: Tiling | None = Field(
        None,
        description="How photos are cut into images; thresholds are then for the highest score of all tiles.",
    )


class Grid(Record):
    """The score grid's shape, and where its cells lie on the model's input."""

    rows: int
    columns: int
    cells: CellGeometry | None = Field(None, description="In pixels; None where nobody wrote it down.")
    ignored: list[str] | None = Field(
        None, description="Cells that do not count and score 0: a text a row, # where a cell is ignored."
    )

    def geometry(self, height: int, width: int) -> CellGeometry:
        """Where the cells lie on the input: evenly over all of it where nobody wrote it down."""
        shape = (self.rows, self.columns)
        return self.cells if self.cells and self.cells.shape == shape else evenly(shape, (height, width))

    def counted(self) -> NDArray[np.bool_] | None:
        """Which cells (rows, columns) count; None where all do."""
        ignored = ignored_cells.of_text(self.ignored, (self.rows, self.columns))
        return None if ignored is None else ~ignored


class Suspect(Record):
    """A training image that scorers which did not see it find most unlike the others: it may show a defect."""

    row: int = Field(description="Row in X_split_train.npy, from 0; the number of the photo, where photos were cut.")
    id: str
    file_name: str | None
    score: float = Field(description="Its score by a scorer that did not see it, in the float32 model's own units.")
    left_out: bool = Field(description="Whether the models were fitted without it.")


class TriedRecipe(Record):
    """Features that self-tuning tried."""

    layers: int
    feature_scaling: str
    pool_size: int | None = Field(description="None for the mixture, whose windows are always the same.")
    auroc: float = Field(description="Of made defects against good images, by scorers that saw neither.")
    chosen: bool


class Tuning(Record):
    """What self-tuning chose from before the fit: the first recipe is the most robust one."""

    images: int = Field(description="Good images that recipes were judged on.")
    defects: int = Field(description="Defects made on them.")
    margin: float = Field(description="By how much another recipe must be ahead of the most robust one.")
    tried: list[TriedRecipe]

    def sentence(self) -> str:
        """What was chosen from what, in one line."""
        chosen = next(each for each in self.tried if each.chosen)
        best = max(self.tried, key=_auroc)
        most = "the best" if best is chosen else f"{best.auroc:.3f} the best"
        windows = "" if chosen.pool_size is None else f", windows of {chosen.pool_size}"
        return (
            f"{chosen.layers} layers, feature scaling {chosen.feature_scaling}{windows}: AUROC {chosen.auroc:.3f} of "
            f"{self.defects} made defects on {self.images} good images, {most} of {len(self.tried)} tried"
        )


def _auroc(recipe: TriedRecipe) -> float:
    return recipe.auroc


class LearningPoint(Record):
    """What a training with fewer images would do."""

    images: int = Field(description="Photos that a scorer was fitted to.")
    found: float = Field(description="The share of the made defects that it finds.")
    false_alarms: Interval | None = Field(
        description="Where the false alarms lie of 95 % of trainings with this share of the samples; None for too few."
    )


class LearningCurve(Record):
    """Whether more photos would still help: what scorers of a quarter, a half and all of some training images find."""

    rate: float = Field(description="The share of the held-out images that may be flagged.")
    defects: int
    held_out: int = Field(description="Photos that defects were made on; no scorer of the curve saw them.")
    points: list[LearningPoint]
    detection_rises: bool = Field(description="Whether the second half of the images raised detection.")
    thresholds_unsure: bool = Field(description="Whether false alarms are known too roughly with so many samples.")

    @property
    def advice(self) -> str:
        """Whether more photos would help, in words."""
        helped = ["it would find more"] * self.detection_rises + ["false alarms would be known better"] * (
            self.thresholds_unsure
        )
        return f"more photos would still help ({', '.join(helped)})" if helped else "more photos would hardly help"


class AnomalyMetadata(Record):
    """The content of anomaly_metadata.json."""

    schema_version: int = SCHEMA_VERSION
    nominalThresholdScore: Score = Field(description="The name that Edge Impulse's stock block uses.")  # noqa: N815
    threshold: Threshold
    scoring_function: Literal["gmm", "patchcore"]
    scorer_size: int = Field(
        0, description="Mixture components or memory bank entries; --max-flash may have lowered it."
    )
    settings: dict[str, Any]
    settings_from: dict[str, Source] = Field(default={}, description="Where each setting came from.")
    tuning: Tuning | None = Field(default=None, description="How features were chosen; None where none were tried.")
    backbone: BackboneInfo
    input: InputInfo
    grid: Grid
    ignore_mask_sha256: str | None = Field(None, description="Of the picture that says which cells do not count.")
    vote: str = Field("1/1", description="An alarm takes N of the last M images: N/M.")
    training_images: int = Field(description="Photos, where they were cut into tiles.")
    suspects: list[Suspect] = Field(default=[], description="Training images to look at, the most suspicious first.")
    learning_curve: LearningCurve | None = Field(
        default=None, description="Whether more photos would help; None where there are too few to tell."
    )
    versions: dict[str, str]
    models: dict[str, ModelFile]
    parent: dict[str, str] | None = Field(
        default=None, description="SHA-256 of each model file that these were updated from by `fomoad update`."
    )
