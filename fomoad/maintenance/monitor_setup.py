"""From the arguments of `fomoad monitor` to a running session: the model, its metadata and its held-out scores."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from fomoad import state_file
from fomoad.errors import UserError
from fomoad.export.output_directory import METADATA_FILE
from fomoad.maintenance import monitor
from fomoad.maintenance.monitor import Session
from fomoad.maintenance.reference import Reference
from fomoad.metadata import AnomalyMetadata, ModelFile


@dataclass(frozen=True)
class Options:
    """What the command line says beside the model and the lines."""

    false_alarm: float
    rate: float | None = None
    state: Path | None = None
    scores: Path | None = None
    counters: bool = False
    counter_edges: bool = False
    status: bool = False
    reset: bool = False
    page: Path | None = None
    on_alarm: str | None = None


def run(model: Path, source: str, options: Options) -> bool:
    """Watch what a source says of a model's scores; returns whether there is or was an alarm."""
    for name, value in (("--false-alarm", options.false_alarm), ("--rate", options.rate)):
        if value is not None and not 0 < value < 1:
            raise UserError(f"{name} cannot be {value:g}: give a number between 0 and 1.")
    record = model_record(model)
    scores = _read_scores(options.scores) if options.scores else state_file.held_out_scores(model)
    reference = Reference.of(scores, record.threshold.suggested)
    if options.counter_edges:
        print(json.dumps({"counter_edges": reference.counter_edges.tolist(), "threshold": reference.threshold}))
        return False
    if options.counters:
        reference = reference.counted()
    state = options.state or model.with_name(model.name + ".monitor.json")
    if options.reset:
        state.unlink(missing_ok=True)
    session = Session.open(state, record.sha256, reference, options.false_alarm, options.rate)
    return monitor.run(session, source, options.page, options.on_alarm, options.status)


def model_record(model: Path) -> ModelFile:
    """What the metadata beside a model file say of it. Raises UserError where there are none or they do not know it."""
    path = model.parent / METADATA_FILE
    try:
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        metadata = AnomalyMetadata.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}): give a model beside its metadata."
        ) from error
    except ValidationError as error:
        raise UserError(f"{path} is not the metadata of a training: train again.") from error
    known = [record for record in metadata.models.values() if record.sha256 == digest]
    if not known:
        raise UserError(f"{path} does not know {model.name}: put the metadata of its training beside it.")
    return known[0]


def _read_scores(path: Path) -> NDArray[np.float64]:
    """Held-out scores from a text file, one a line."""
    try:
        scores = np.array([float(line) for line in path.read_text(encoding="utf-8").split()])
    except (OSError, ValueError) as error:
        raise UserError(f"The scores {path} cannot be read ({error}): give a file with a number a line.") from error
    if not len(scores) or not np.isfinite(scores).all():
        raise UserError(f"The scores {path} hold no scores, or infinite ones: give a file with a number a line.")
    return scores
