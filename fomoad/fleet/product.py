"""One product's training: what a worker does, unless it is done already."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

import fomoad
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset, ignore_mask
from fomoad.data.pixel_images import StoredPixels
from fomoad.detection.summary import ALL
from fomoad.errors import UserError
from fomoad.export import output_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.fleet.rows import Row
from fomoad.metadata import AnomalyMetadata
from fomoad.progress import log
from fomoad.settings import NO_MASK

RECORD_FILE: Final = "fleet_record.json"
"""In an output directory: what it was trained from."""
THUMBNAILS: Final = 3
THUMBNAIL_SIDE: Final = 72
JPEG_QUALITY: Final = 80
BLOCK: Final = 2**20


class Figures(BaseModel):
    """What a finished product's metadata say, in short."""

    scoring_function: str
    backbone: str
    input: str = Field(description="Width x height x channels.")
    training_images: int
    left_out: int = Field(description="Training images that were taken for defects.")
    threshold: float = Field(description="The suggested one, of the float32 model.")
    int8_threshold: float
    expected_false_alarms: float | None = Field(description="Of the recommended threshold of the int8 model.")
    made_defects_found: float | None
    a90: float | None = Field(description="Length in pixels of made defects that is found nine times in ten.")
    flash_bytes: int | None
    arena_bytes: int | None


class Product(BaseModel):
    """One row of fleet.json."""

    line: int
    name: str
    data: str
    output: str
    status: Literal["trained", "unchanged", "failed"]
    failure: str | None = None
    figures: Figures | None = None


@dataclass(frozen=True)
class Done:
    """A product with JPEG pictures of some training images."""

    product: Product
    thumbnails: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Task:
    """A row to train, and whether to keep what an update starts from."""

    row: Row
    keep_state: bool
    work_directory: Path | None


def bring_up_to_date(task: Task) -> Done:
    """Train a product, unless its output is what this data and these settings give.

    Whatever goes wrong is the result: no product stops another.
    """
    row = task.row
    log(f"{row.name}: {row.data} to {row.output}")
    try:
        digest = digest_of(task)
        unchanged = _is_of(row.output, digest)
        if not unchanged:
            _train(task, digest)
        metadata = AnomalyMetadata.model_validate_json((row.output / METADATA_FILE).read_bytes())
        product = _product(row, "unchanged" if unchanged else "trained")
        return Done(product.model_copy(update={"figures": _figures(metadata)}), _thumbnails(row))
    except MemoryError:
        return failed(task, "the memory was used up: lower memory-limit or give more memory")
    except Exception as error:
        known = isinstance(error, (UserError, OSError))
        return failed(task, str(error) if known else f"{type(error).__name__}: {str(error)[:500]}")


def failed(task: Task, reason: str) -> Done:
    """A product that could not be trained."""
    return Done(_product(task.row, "failed").model_copy(update={"failure": reason}))


def digest_of(task: Task) -> str:
    """SHA-256 of all that a product's models come of: data, settings, weights and the version of fomoad.

    Files of test images do not count. Raises UserError or OSError where a file of them cannot be read.
    """
    row, settings = task.row, task.row.parameters.settings
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    about = [fomoad.__version__, settings.model_dump(), row.parameters.sources, weights.sha256(), task.keep_state]
    if settings.ignore_mask != NO_MASK:
        about.append(ignore_mask.digest(Path(settings.ignore_mask)))
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in sorted(row.data.iterdir()):
        if path.is_file() and "_test" not in path.name:
            total.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    total.update(block)
    return total.hexdigest()


def _train(task: Task, digest: str) -> None:
    from fomoad.training.train import train

    row = task.row
    row.parameters.warn_of_idle()
    train(row.parameters, row.data, row.output, None, task.work_directory, task.keep_state)
    record = {"digest": digest, "metadata_sha256": _sha256(row.output / METADATA_FILE)}
    with output_directory.reserve(row.output):
        output_directory.publish(row.output, {RECORD_FILE: json.dumps(record, indent=1).encode() + b"\n"})


def _is_of(output: Path, digest: str) -> bool:
    """Whether an output directory is whole, and of what the digest says."""
    try:
        record = json.loads((output / RECORD_FILE).read_bytes())
        expected = {"digest": digest, "metadata_sha256": _sha256(output / METADATA_FILE)}
        metadata = AnomalyMetadata.model_validate_json((output / METADATA_FILE).read_bytes())
        whole = all(_sha256(output / name) == model.sha256 for name, model in metadata.models.items())
    except (OSError, ValueError, ValidationError):
        return False
    return bool(record == expected and whole)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _product(row: Row, status: Literal["trained", "unchanged", "failed"]) -> Product:
    return Product(line=row.line, name=row.name, data=str(row.data), output=str(row.output), status=status)


def _figures(metadata: AnomalyMetadata) -> Figures:
    model = next(each for each in metadata.models.values() if each.output.dtype == "int8")
    choices = [each for each in model.threshold.choices if each.threshold == model.threshold.recommended]
    chosen = choices[0] if choices else None
    curves = model.detection.curves if model.detection else []
    overall = [curve for curve in curves if curve.kind == ALL and curve.contrast == ALL]
    return Figures(
        scoring_function=metadata.scoring_function,
        backbone=metadata.backbone.name,
        input=f"{metadata.input.width}x{metadata.input.height}x{metadata.input.channels}",
        training_images=metadata.training_images,
        left_out=sum(suspect.left_out for suspect in metadata.suspects),
        threshold=metadata.threshold.suggested,
        int8_threshold=model.threshold.suggested,
        expected_false_alarms=chosen.expected_false_alarms if chosen else None,
        made_defects_found=chosen.made_defects_found if chosen else None,
        a90=overall[0].a90 if overall else None,
        flash_bytes=model.profile.flash_bytes if model.profile else None,
        arena_bytes=model.profile.arena_bytes if model.profile else None,
    )


def _thumbnails(row: Row) -> tuple[bytes, ...]:
    """Some training images, from the first to the last."""
    scaling = row.parameters.settings.image_input_scaling
    images = dataset.open_split(row.data, "train", scaling).images
    assert images is not None
    rows = np.unique(np.linspace(0, len(images) - 1, THUMBNAILS).astype(np.int64))
    pixels = StoredPixels(images, rows)
    return tuple(_jpeg(pixels[index]) for index in range(len(rows)))


def _jpeg(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()
