"""Every training parameter, once: its name, type, default, range and help.

The command line is generated from this model, and a test holds parameters.json to it.
"""

import argparse
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from fomoad.data.scaling import DEFAULT_SCALING, Scaling
from fomoad.errors import UserError
from fomoad.vote import Vote

Backbone = Literal["auto", "mobilenet-v2-0.35", "mobilenet-v2-0.5", "mobilenet-v2-0.75", "mobilenet-v2-1.0", "resnet50"]
ScoringFunction = Literal["gmm", "patchcore"]


AUTO = "auto"
NO_MASK = "none"
MOST_CONTAMINATION = 0.5
"""Where more than half of the images are defects, they are what a scorer takes for good."""
Values = dict[str, Any]
"""Values of some fields, by the fields' names: as they were given, not validated."""
Source = Literal["default", "file", "argument"]


class TrainSettings(BaseModel):
    """The parameters of a training, validated. Field names are the arguments' with underscores."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target_device: Literal["low-power", "high-power"] = Field(
        "low-power", description="The kind of device: picks the scoring function and the backbone where those are auto."
    )
    scoring_function: Literal["auto", "gmm", "patchcore"] = Field(
        "auto",
        description="auto: gmm for low-power, patchcore for high-power. GMM is small and fits microcontrollers; "
        "PatchCore is stronger and larger.",
    )
    backbone: Backbone = Field(
        "auto",
        description="The feature extractor, pre-trained on ImageNet. auto: mobilenet-v2-0.35 for low-power, "
        "mobilenet-v2-1.0 for high-power.",
    )
    weights: str = Field(
        "auto",
        min_length=1,
        description="The backbone's weights: auto (cached ImageNet weights, else the bundled ones), imagenet "
        "(downloaded where not cached), bundled, or the path of a Keras weights file.",
    )
    weights_resolution: Literal[96, 128, 160, 192, 224] = Field(
        96, description="Side of the images that the MobileNetV2 ImageNet weights were trained with."
    )
    capacity: Literal["low", "medium", "high"] = Field(
        "medium",
        description="GMM: number of mixture components (64, 256, 512).",
        json_schema_extra={"scorer": "gmm"},
    )
    layers: Literal["auto", 1, 2, 3] = Field(
        "auto",
        description="Number of backbone layers that are joined: at 1/8 of the image's side, then finer details, then "
        "1/16. auto: what self-tuning finds, else 3.",
    )
    feature_scaling: Literal["auto", "none", "global", "place"] = Field(
        "auto",
        description="How features are scaled: none, global (each by its deviation over the whole image) or place (by "
        "that at each position). auto: what self-tuning finds, else place; where parts turn freely, try none with a "
        "larger sampling ratio.",
    )
    pool_size: Literal["auto", 1, 2, 3, 4, 5] = Field(
        "auto",
        description="PatchCore: side of the windows that features are averaged over, in cells; 1 for none. "
        "auto: what self-tuning finds, else 3 for images of 192 pixels or more a side, and 2 for smaller ones.",
        json_schema_extra={"scorer": "patchcore"},
    )
    sampling_ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1,
        description="PatchCore: share of the training patches that is kept in the memory bank.",
        json_schema_extra={"scorer": "patchcore"},
    )
    k: Annotated[int, Field(ge=1, le=50)] = Field(
        1,
        description="PatchCore: number of nearest neighbours whose mean distance is a patch's score.",
        json_schema_extra={"scorer": "patchcore"},
    )
    tune: Literal["auto", "off"] = Field(
        "auto",
        description="Self-tuning of layers, feature scaling and pooling size where those are auto. auto: the ones that "
        "find clearly more defects made by code on good images, 30 or more; off: none is tried.",
    )
    image_input_scaling: Scaling = Field(
        DEFAULT_SCALING, description="How the values of the images are scaled, as parameters.json says."
    )
    threshold_method: Literal["max", "conformal"] = Field(
        "max",
        description="How the suggested threshold is found: max, the highest training score, or conformal, which "
        "keeps the false-positive rate.",
    )
    false_positive_rate: Annotated[float, Field(gt=1e-9, lt=1)] = Field(
        0.05,
        description="Share of new normal images that a conformal threshold may flag.",
    )
    contamination: str = Field(
        "auto",
        description="Share of the training images that may show defects and are left out, 0 to 0.5: the most "
        "suspicious ones. auto: those that are clearly unlike all others.",
    )
    vote: str = Field(
        "1/1",
        description="How many of the last images of a video must be flagged for an alarm, N/M as in 3/4: by predict - "
        "and by the device kit.",
    )
    ignore_mask: str = Field(
        NO_MASK,
        min_length=1,
        description="Path of a picture, white where the images do not count: cells that it covers by half or more take "
        "no part in the training and score 0. none: everything counts.",
    )
    score_scale: Literal["raw", "threshold"] = Field(
        "raw",
        description="raw: scores as the scoring function gives them; threshold: divided so that 1 is the threshold.",
    )
    max_flash: Annotated[int, Field(ge=0, le=2**40)] = Field(
        0,
        description="Bytes of flash that the int8 model may take, 0 for no limit: PatchCore's memory bank shrinks to "
        "fit.",
    )
    max_ram: Annotated[int, Field(ge=0, le=2**40)] = Field(
        0, description="Bytes of working memory that the int8 model may take under --runtime, 0 for no limit."
    )
    runtime: Literal["edge-impulse", "tflite-micro"] = Field(
        "edge-impulse",
        description="What --max-ram counts: edge-impulse, the arena and the float copy of the image that Edge "
        "Impulse's library holds beside it; tflite-micro, the arena alone.",
    )
    memory_limit: Annotated[int, Field(ge=64, le=2**20)] = Field(
        512, description="MiB of features that are kept in memory; more are selected in pieces or computed again."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(1, description="Seed of every random choice.")

    @field_validator("*", mode="before")
    @classmethod
    def _of_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Take numbers that are written as text; pydantic by itself would take true for 1."""
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        text = value.strip() if isinstance(value, str) else value
        allowed = choices(str(info.field_name)) or ()
        if isinstance(value, bool):
            raise PydanticCustomError("truth", "true and false are no values for it")
        return next((choice for choice in allowed if str(choice) == text), text)

    @field_validator("contamination")
    @classmethod
    def _share(cls, value: str) -> str:
        if value != AUTO:
            try:
                share = float(value)
            except ValueError:
                share = math.nan
            if not 0 <= share <= MOST_CONTAMINATION:
                raise PydanticCustomError("share", f"Use auto or a share from 0 to {MOST_CONTAMINATION}")
        return value

    @field_validator("vote")
    @classmethod
    def _vote(cls, value: str) -> str:
        try:
            return str(Vote.parse(value))
        except ValueError as error:
            raise PydanticCustomError("vote", str(error)) from error

    def contaminated_share(self) -> float | None:
        """The share of the training images to leave out; None: as many as are clearly unlike the others."""
        return None if self.contamination == AUTO else float(self.contamination)

    def scorer(self) -> ScoringFunction:
        """The scoring function that these settings ask for, auto resolved."""
        if self.scoring_function != "auto":
            return self.scoring_function
        return "gmm" if self.target_device == "low-power" else "patchcore"


def argument_name(field: str) -> str:
    """The command line's name of a field: --pool-size for pool_size."""
    return "--" + field.replace("_", "-")


def choices(field: str) -> tuple[Any, ...] | None:
    """The values that a field is limited to, or None where a range or nothing limits it."""
    annotation = TrainSettings.model_fields[field].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser --parameters, and one argument for every field. Values stay strings: `validate` reads them."""
    group = parser.add_argument_group("parameters")
    group.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="JSON file with parameters: an object of names and values, a filled-in parameters.json, or the "
        "anomaly_metadata.json of a training to repeat; arguments win over it",
    )
    for name, field in TrainSettings.model_fields.items():
        allowed = choices(name)
        group.add_argument(
            argument_name(name),
            default=argparse.SUPPRESS,
            metavar="{" + ",".join(map(str, allowed)) + "}" if allowed else name.rsplit("_", 1)[-1].upper(),
            help=f"{field.description} (default: {field.default})".replace("%", "%%"),
        )


def validate(given: Values, shown: Callable[[str], str] = argument_name) -> TrainSettings:
    """Validate some fields' values; the others keep their defaults. `shown` is what a user calls a field.

    Raises UserError that names the first field at fault, its value and what is allowed.
    """
    try:
        return TrainSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        allowed = choices(name)
        rule = f"use one of {', '.join(map(str, allowed))}" if allowed else _lower_first(first["msg"])
        raise UserError(f"{shown(name)} cannot be {repr(given[name])[:100]}: {rule}.") from error


def without_effect(settings: TrainSettings, given: Iterable[str]) -> list[str]:
    """Those of the given fields that differ from their defaults, but are for the other scoring function."""
    found = []
    for name in given:
        field = TrainSettings.model_fields[name]
        extra = field.json_schema_extra
        scorer = extra["scorer"] if isinstance(extra, dict) else settings.scorer()
        if scorer != settings.scorer() and getattr(settings, name) != field.default:
            found.append(name)
    return found


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
