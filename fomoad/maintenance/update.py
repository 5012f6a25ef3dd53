"""`fomoad update`: reviewed good images go into a trained model, within its size, and nothing it found gets lost."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

import fomoad
from fomoad import state_file
from fomoad.errors import UserError
from fomoad.export import output_directory, tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.features.extractor import extractor
from fomoad.maintenance import adapt_gmm, adapt_patchcore, gate, reviewed, update_page
from fomoad.maintenance.gate import Cost
from fomoad.maintenance.originals import REVIEWED, Originals
from fomoad.maintenance.reviewed import Reviewed
from fomoad.metadata import AnomalyMetadata
from fomoad.progress import log, step
from fomoad.scorers.gmm import GmmScorer
from fomoad.settings import TrainSettings
from fomoad.training import state as training_state
from fomoad.training.fit import image_scores
from fomoad.training.int8 import convert_int8
from fomoad.training.model_files import Model, convert_float, measure, suggested_threshold
from fomoad.training.sampling import Cells
from fomoad.training.state import KeptFit, TrainingState

Array = NDArray[np.float32]

RECORD_FILE: Final = "update.json"
PAGE_FILE: Final = "update.html"
MOST_SHOWN: Final = 20


@dataclass(frozen=True)
class Before:
    """The model to update: its metadata, settings and state, and the folder that it lies in."""

    folder: Path
    metadata: AnomalyMetadata
    settings: TrainSettings
    state: TrainingState

    @classmethod
    def read(cls, folder: Path) -> "Before":
        """Read and check a training's files. Raises UserError where one is missing, damaged or not of the others."""
        path = folder / METADATA_FILE
        try:
            metadata = AnomalyMetadata.model_validate_json(path.read_bytes())
            settings = TrainSettings(**metadata.settings)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): give the folder of a training.") from error
        except ValidationError as error:
            raise UserError(f"{path} is no metadata of a training of this version: train again.") from error
        for name, record in metadata.models.items():
            model = folder / name
            if not model.is_file() or hashlib.sha256(model.read_bytes()).hexdigest() != record.sha256:
                raise UserError(f"{model} is not the file that {path} describes: keep a training's files together.")
        return cls(folder, metadata, settings, training_state.read(folder / tflite.FLOAT_FILE))


@dataclass(frozen=True)
class Features:
    """Features (n, R, C, D) of images, float ones and those of int8 kernels."""

    floats: Array
    int8: Array

    def only(self, wanted: NDArray[np.bool_]) -> "Features":
        """Those of the images that are wanted (n,)."""
        return Features(self.floats[wanted], self.int8[wanted])


def run(
    models: Path,
    good: Path,
    out_directory: Path,
    defects: Path | None = None,
    force: bool = False,
    data_directory: Path | None = None,
) -> None:
    """Update the models of a folder with photos of good parts, and write them to another.

    Photos that would make the model miss defects that it finds are left out and named, unless `force`. Photos of
    `defects` are held out too: what is found of them before must be found after. With the training's data directory,
    the models are fitted again to its images and the photos together.

    Raises UserError where nothing can be updated; nothing is written then.
    """
    if out_directory.resolve() == models.resolve():
        raise UserError(f"--out-directory {out_directory} is the model to update: give another, it stays as it is.")
    output_directory.check_temporary_folder()
    before = Before.read(models)
    if before.metadata.input.tiles:
        raise UserError(f"{models} was trained on tiles of photos, which no update takes: train with the new ones too.")
    photos = reviewed.read(good, before.metadata.input)
    known = None if defects is None else reviewed.read(defects, before.metadata.input)
    originals = None
    if data_directory is not None:
        originals = Originals.open(data_directory, before.metadata, before.settings, before.state)
        originals.check_reviewed(before.state, photos.names)
    with output_directory.reserve(out_directory):
        output_directory.publish(out_directory, updated(before, photos, known, force, originals))
    log(f"Wrote {out_directory}. The page {out_directory / PAGE_FILE} says what changed.")


def updated(
    before: Before, photos: Reviewed, known: Reviewed | None, force: bool, originals: Originals | None = None
) -> dict[str, bytes]:
    """All files of the updated training, the metadata last."""
    state, settings = before.state, before.settings
    with step("Compiling the backbone, twice"):
        extract = extractor(state.features), extractor(state.int8_features, state.ranges)
    with step(f"Extracting features of {len(photos)} photos"):
        features = Features(*(each(photos.images) for each in extract))
        real = Features(*(each(known.images) for each in extract)) if known else None
    state = replace(state, fit=_with_defects(state.fit, real, 0), int8_fit=_with_defects(state.int8_fit, real, 1))
    taken, adapted, costs = _gated(state, settings, photos, features, force, originals)
    shape = before.metadata.input
    image_shape = shape.height, shape.width, shape.channels
    files = convert_float(settings, image_shape, state.features, adapted[0])
    files[tflite.INT8_FILE] = convert_int8(
        settings, state.int8_features, state.ranges, image_shape, adapted[0], adapted[1]
    )
    files[tflite.INT8_FILE].record.profile = measure(tflite.INT8_FILE, files[tflite.INT8_FILE].content)
    old_ids = state.sample_ids if originals is None else originals.ids
    sample_ids = (*old_ids, *_sample_ids(photos.only(taken)))
    new_state = replace(state, sample_ids=sample_ids, fit=adapted[0], int8_fit=adapted[1])
    given = gate.cells_of_defects(before.state.fit.scorer, real.floats, real.int8)[0] if real else None
    record = _record(before, photos, features, taken, adapted[0], costs, given, files)
    record["fitted_again_to_original_images"] = 0 if originals is None else len(originals.ids)
    log(update_page.summary(record))
    return {name: model.content for name, model in files.items()} | {
        state_file.FILE: training_state.contents(new_state, files),
        RECORD_FILE: json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n",
        PAGE_FILE: update_page.render_page(record).encode(),
        METADATA_FILE: _metadata(before, files, len(sample_ids)).model_dump_json(indent=2).encode() + b"\n",
    }


def _gated(
    state: TrainingState,
    settings: TrainSettings,
    photos: Reviewed,
    features: Features,
    force: bool,
    originals: Originals | None,
) -> tuple[NDArray[np.bool_], tuple[KeptFit, KeptFit], Array]:
    """Adapt to all photos, then without those that cost too much, until none does.

    Returns which photos (n,) were taken, both fits, and what each photo costs (n,).

    Raises UserError where none is left.
    """
    taken, costs = np.ones(len(photos), bool), np.zeros(len(photos), np.float32)
    while True:
        with step(f"Taking {int(taken.sum())} photos into the model"):
            some = features.only(taken)
            if originals is None:
                adapted = adapt(state, some, settings.seed)
            else:
                names = _sample_ids(photos.only(taken))
                adapted = originals.refit(state, settings, some.floats, some.int8, names)
        found = _cost(state, settings, adapted[0], some.floats)
        if found is None:
            log("No defects are known to this training: nothing can tell what the update costs.")
            return taken, adapted, costs
        costs[taken] = found.of_image
        if force or not found.refused.any():
            return taken, adapted, costs
        taken[np.flatnonzero(taken)[found.refused]] = False
        names = [f"{photos.names[row]} ({costs[row]:.0%})" for row in np.flatnonzero(~taken)[:MOST_SHOWN]]
        log(f"Left out, for they would make the model miss defects that it finds: {', '.join(names)}.")
        if not taken.any():
            raise UserError(
                "Every photo would make the model miss defects that it finds: look at them again, or give --force."
            )


def adapt(state: TrainingState, features: Features, seed: int) -> tuple[KeptFit, KeptFit]:
    """Both fits of a state with new images taken in."""
    if isinstance(state.fit.scorer, GmmScorer):
        return adapt_gmm.adapt(state, features.floats, features.int8, seed)
    return adapt_patchcore.adapt(state, features.floats, features.int8)


def _sample_ids(photos: Reviewed) -> list[str]:
    return [f"{REVIEWED}{name}" for name in photos.names]


def threshold_of(settings: TrainSettings, fit: KeptFit) -> float:
    """The threshold to use, in the scorer's own units."""
    return suggested_threshold(settings, fit)


def _cost(state: TrainingState, settings: TrainSettings, fit: KeptFit, features: Array) -> Cost | None:
    if state.fit.defects is None or not len(state.fit.defects.positions):
        return None
    thresholds = threshold_of(settings, state.fit), threshold_of(settings, fit)
    return gate.cost((state.fit.scorer, fit.scorer), thresholds, state.fit.defects, features)


def _with_defects(fit: KeptFit, real: Features | None, kind: int) -> KeptFit:
    """The fit whose known defects include those of photos."""
    if real is None:
        return fit
    found = gate.cells_of_defects(fit.scorer, real.floats, real.int8)[kind]
    if fit.defects is None:
        return replace(fit, defects=found)
    both = zip(vars(fit.defects).values(), vars(found).values(), strict=True)
    return replace(fit, defects=Cells(*(np.concatenate(pair) for pair in both)))


def _metadata(before: Before, files: dict[str, Model], images: int) -> AnomalyMetadata:
    thresholds = files[tflite.FLOAT_FILE].record.threshold
    old = before.metadata
    return old.model_copy(
        update={
            "nominalThresholdScore": thresholds.suggested,
            "threshold": thresholds,
            "training_images": images,
            "versions": old.versions | {"fomoad": fomoad.__version__},
            "models": {name: model.record for name, model in files.items()},
            "parent": {name: record.sha256 for name, record in old.models.items()},
        }
    )


def _record(
    before: Before,
    photos: Reviewed,
    features: Features,
    taken: NDArray[np.bool_],
    fit: KeptFit,
    costs: Array,
    given: Cells | None,
    files: dict[str, Model],
) -> dict[str, Any]:
    """What changed, of the float32 model, as numbers and texts for update.json and the page."""
    settings, old = before.settings, before.state.fit
    thresholds = threshold_of(settings, old), threshold_of(settings, fit)
    scores = [image_scores(scorer.score(features.floats)) for scorer in (old.scorer, fit.scorer)]
    held_out = fit.held_out_scores[-int(taken.sum()) :]
    unseen = iter(held_out)
    corrected = [
        {
            "file": name,
            "taken": bool(keep),
            "cost": round(float(cost), 4),
            "score_before": round(float(first), 4),
            "score_after": round(float(second), 4),
            "score_without_it": round(float(next(unseen)), 4) if keep else None,
            "passes_before": bool(first < thresholds[0]),
            "passes_after": bool(second < thresholds[1]),
        }
        for name, keep, cost, first, second in zip(photos.names, taken, costs, *scores, strict=True)
    ]
    count = len(fit.held_out_scores) - int(taken.sum())
    sizes = {
        name: {"before": before.metadata.models[name].bytes, "after": len(file.content)} for name, file in files.items()
    }
    return {
        "parent": {name: record.sha256 for name, record in before.metadata.models.items()},
        "threshold": {"before": round(thresholds[0], 4), "after": round(thresholds[1], 4)},
        "corrected": corrected,
        "unseen_of_the_same_kind_that_pass": round(float((held_out < thresholds[1]).mean()), 4),
        "false_alarms": {
            "of old images, before": round(float((old.held_out_scores >= thresholds[0]).mean()), 4),
            "of old images, after": round(float((fit.held_out_scores[:count] >= thresholds[1]).mean()), 4),
            "of all images, after": round(float((fit.held_out_scores >= thresholds[1]).mean()), 4),
        },
        "known_defects_found": _found(before.state.fit.defects, (old, fit), thresholds),
        "given_defects_found": _found(given, (old, fit), thresholds),
        "bytes": sizes,
    }


def _found(defects: Cells | None, fits: tuple[KeptFit, KeptFit], thresholds: tuple[float, float]) -> Any:
    """The share of known defects that is found before and after."""
    if defects is None or not len(defects.positions):
        return None
    values = defects.features.astype(np.float32)
    shares = [
        round(float((fit.scorer.score_at(defects.positions, values) >= threshold).mean()), 4)
        for fit, threshold in zip(fits, thresholds, strict=True)
    ]
    return {"count": len(values), "before": shares[0], "after": shares[1]}
