"""What to enter where, to use a training's files with Edge Impulse: for people and as JSON."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, Field

from fomoad.data.label_names import ANOMALY, NORMAL
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.errors import UserError
from fomoad.evaluation.evaluate import digest, read_metadata
from fomoad.export import output_directory, tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.metadata import AnomalyMetadata, ModelFile
from fomoad.progress import log

SCHEMA_VERSION: Final = 1
FILE: Final = "edge_impulse.json"
FILES: Final = (tflite.INT8_FILE, tflite.FLOAT_FILE)
"""What their library runs."""
THRESHOLD_KEY: Final = "min_anomaly_score"
THRESHOLD_TYPE: Final = "anomaly_gmm"


class Upload(BaseModel):
    """One model file, and what it takes of a device with Edge Impulse's library."""

    file: str
    sha256: str
    threshold: float = Field(description="To be entered under `threshold_key`.")
    flash_bytes: int
    ram_bytes: int | None = Field(description="The arena and the library's float copy of the image; null: not known.")
    arena_bytes: int | None
    runs: bool | None = Field(description="Whether the library has all of its operations; null where not known.")


class HandOver(BaseModel):
    """The content of edge_impulse.json."""

    schema_version: int = SCHEMA_VERSION
    threshold_key: Literal["min_anomaly_score"] = "min_anomaly_score"
    threshold_type: Literal["anomaly_gmm"] = "anomaly_gmm"
    one_threshold: float | None = Field(description="The threshold of all files; null where theirs differ.")
    scaling: str = Field(description="imageInputScaling of the block, or the input scaling of an uploaded model.")
    width: int
    height: int
    channels: int
    resize: str | None = Field(description="How photos were brought to this size; null where nobody said it.")
    labels: dict[str, str] = Field(description="What to call the two verdicts.")
    output: str = Field(description="The output's shape: a score for each cell.")
    models: list[Upload]
    traps: list[str] = Field(description="What to see to with this model.")


def command(models: Path, as_json: bool) -> None:
    """Print what to enter where, and write it into the models' folder as JSON.

    Raises UserError where the folder holds no training, or files other than its metadata describe.
    """
    found = hand_over(models)
    content = found.model_dump_json(indent=2)
    with output_directory.reserve(models):
        output_directory.publish(models, {FILE: content.encode() + b"\n"})
    if as_json or not sys.stdout.isatty():
        print(content, flush=True)
        return
    print("\n".join(table(found)), flush=True)
    log(f"Wrote {models / FILE}")


def hand_over(models: Path) -> HandOver:
    """Gather it from a training's folder. Raises UserError as `command` does."""
    if not models.is_dir():
        raise UserError(f"{models} is no folder: give the output directory of a training.")
    metadata = read_metadata(models / METADATA_FILE)
    uploads = [_upload(models / name, metadata.models[name]) for name in FILES if name in metadata.models]
    if not uploads:
        raise UserError(f"{models / METADATA_FILE} describes no TFLite file, which Edge Impulse needs: train again.")
    thresholds = {upload.threshold for upload in uploads}
    image, grid = metadata.input, metadata.grid
    return HandOver(
        one_threshold=thresholds.pop() if len(thresholds) == 1 else None,
        scaling=image.scaling,
        width=image.width,
        height=image.height,
        channels=image.channels,
        resize=image.resize,
        labels={"anomaly": ANOMALY, "no anomaly": NORMAL},
        output=f"[1, {grid.rows}, {grid.columns}], scores of cells from 0",
        models=uploads,
        traps=list(_traps(metadata, uploads)),
    )


def table(found: HandOver) -> Iterator[str]:
    """The same for people to read, line by line."""
    rows = [
        ("Input size", f"{found.width} x {found.height}, {found.channels} channel(s)"),
        ("Resize mode", found.resize or "as in training"),
        ("Input scaling", found.scaling),
        ("Labels", ", ".join(found.labels.values())),
        ("Output", found.output),
    ]
    for upload in found.models:
        ram = "unknown" if upload.ram_bytes is None else f"{upload.ram_bytes:,} bytes"
        rows += [
            (upload.file, f"{found.threshold_key} = {upload.threshold:.9g} (type {found.threshold_type})"),
            ("", f"{upload.flash_bytes:,} bytes of flash, {ram} of RAM with the library's copy of the image"),
        ]
    rows += [("Mind", trap) for trap in found.traps]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}}  {value}"


def _upload(path: Path, record: ModelFile) -> Upload:
    if not path.is_file() or digest(path) != record.sha256:
        raise UserError(f"{path} is not the file that {METADATA_FILE} describes: keep a training's files together.")
    profile = record.profile
    return Upload(
        file=path.name,
        sha256=record.sha256,
        threshold=record.threshold.suggested,
        flash_bytes=record.bytes,
        ram_bytes=profile.edge_impulse_bytes if profile else None,
        arena_bytes=profile.arena_bytes if profile else None,
        runs=profile.edge_impulse if profile else None,
    )


def _traps(metadata: AnomalyMetadata, uploads: list[Upload]) -> Iterator[str]:
    if len({upload.threshold for upload in uploads}) > 1:
        yield (
            "Edge Impulse keeps one threshold for both files: enter that of the file that you deploy, or train with "
            "--score-scale threshold, where it is 1 for both."
        )
    if metadata.input.scaling != DEFAULT_SCALING:
        yield (
            f"blocks init deletes imageInputScaling from parameters.json: put {metadata.input.scaling} back before "
            f"push, or images come scaled {DEFAULT_SCALING}."
        )
    if metadata.input.height != metadata.input.width:
        yield "The library swaps rows and columns of the score grid: use square images."
    if metadata.vote != "1/1":
        yield f"The library does not vote: count {metadata.vote} flagged images in your own program."
    for upload in uploads:
        if upload.runs is False:
            yield f"The library lacks an operation of {upload.file}: fomoad profile names it."
