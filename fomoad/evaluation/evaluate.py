"""`fomoad test`: a model file over the test split of a data directory, to results.json and report.html."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from fomoad.data import dataset, scaling
from fomoad.data.dataset import Images, Split, SplitName
from fomoad.data.info_file import Info, read_info, read_json
from fomoad.data.label_names import NORMAL, LabelNames, anomalous_flags, kept_label_names
from fomoad.data.npy_file import Rows
from fomoad.data.tiles import Tiling
from fomoad.detection import summary
from fomoad.errors import UserError
from fomoad.evaluation import made_defects, suspects
from fomoad.evaluation.kinds import by_kind
from fomoad.evaluation.report import Picture, pictures, render
from fomoad.evaluation.results import Decision, ModelSummary, PhotoSize, Results, Samples, evaluate
from fomoad.export import output_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.geometry import CellGeometry
from fomoad.inference.model import GridModel, load_model
from fomoad.inference.predict import usable_threshold
from fomoad.metadata import AnomalyMetadata, Grid, InputInfo, Threshold
from fomoad.progress import log, step, track, warn
from fomoad.settings import TrainSettings

RESULTS_FILE: Final = "results.json"
REPORT_FILE: Final = "report.html"
MASK_MIDDLE: Final = 127
"""A mask's values above this are the defect."""


def run(
    model_path: Path,
    data_directory: Path,
    report_directory: Path,
    threshold: float | None = None,
    label_names: LabelNames | None = None,
    image_scaling: str | None = None,
    info_file: Path | None = None,
    trust_model: bool = False,
) -> Results:
    """Score every test image, write results.json and report.html, and return the results.

    The threshold and how the images are scaled are those of the metadata beside the model where they are not
    given. Raises UserError where anything given is missing, damaged or does not fit; nothing is written then.
    """
    with output_directory.reserve(report_directory):
        model = load_model(model_path, trust_model)
        metadata = find_metadata(model_path)
        if metadata and image_scaling not in (None, metadata.input.scaling):
            trained = metadata.input.scaling
            log(f"Warning: --image-input-scaling is {image_scaling}, but {model_path} was trained with {trained}.")
        decision = decide(model_path, metadata, threshold)
        image_scaling = image_scaling or (metadata.input.scaling if metadata else TrainSettings().image_input_scaling)
        info = read_info(info_file, data_directory)
        source, split, images = _open_images(data_directory, image_scaling, info)
        photos = split.photos()
        _check_tiles(model_path, metadata, split)
        names = (label_names or LabelNames()).over(kept_label_names(data_directory))
        samples = Samples(
            ids=photos.ids,
            file_names=photos.file_names,
            labels=photos.labels,
            anomalous=anomalous_flags(photos.labels, names),
            masks=None if photos.masks is None else _masks(photos.masks),
        )
        described = summarise(model_path, model, metadata, image_scaling, split.tiling)
        grids = score_photos(model, images, split.tiling, described.grid.geometry(*described.size))
        with step("Computing the figures"):
            results = evaluate(described, decision, grids, samples)
        results = _with_defects(results, model, split, source, metadata)
        curve = metadata.learning_curve if metadata else None
        results = results.model_copy(update={"kinds": by_kind(results.images), "learning_curve": curve})
        if photos.masks is not None:
            real = made_defects.real_defects(results, _masks(photos.masks))
            results = results.model_copy(update={"real_defects": real})
        shown = [_picture(photos, row) for row in track(range(len(photos)), "Drawing", len(photos))]
        suspected = suspects.shown(data_directory, image_scaling, info, metadata.suspects if metadata else [])
        page = render(results, shown, suspected).encode()
        output_directory.publish(
            report_directory, {RESULTS_FILE: results.model_dump_json().encode() + b"\n", REPORT_FILE: page}
        )
    for line in _lines(results):
        log(line)
    log(f"Wrote {report_directory / RESULTS_FILE} and {report_directory / REPORT_FILE} ({len(page) / 2**20:.1f} MiB)")
    return results


def find_metadata(model_path: Path) -> AnomalyMetadata | None:
    """Read anomaly_metadata.json beside a model file; None where there is none or it is of another model.

    Raises UserError where the file is damaged.
    """
    path = model_path.parent / METADATA_FILE
    if not path.is_file():
        return None
    metadata = read_metadata(path)
    if trained_threshold(model_path, metadata) is None:
        warn(f"{path} does not know {model_path.name} (no file there has its SHA-256), so it is not used.")
        return None
    return metadata


def read_metadata(path: Path) -> AnomalyMetadata:
    """Read an anomaly_metadata.json. Raises UserError where it is missing or damaged."""
    try:
        return AnomalyMetadata.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{path} is not the metadata of a training ({place}: {first['msg']}): train again.") from error


def trained_threshold(model_path: Path, metadata: AnomalyMetadata) -> Threshold | None:
    """The thresholds of the model file with this content, whatever its name; None where there is none."""
    found = digest(model_path)
    return next((file.threshold for file in metadata.models.values() if file.sha256 == found), None)


def decide(model_path: Path, metadata: AnomalyMetadata | None, threshold: float | None) -> Decision:
    """The threshold to test with: the one given, else the one that the training suggests for this file."""
    trained = trained_threshold(model_path, metadata) if metadata else None
    if threshold is not None:
        if not usable_threshold(threshold):
            raise UserError(f"The threshold {threshold:g} cannot be used: give a number that is 0 or more.")
        return Decision(threshold, "command line", trained)
    if trained is None:
        raise UserError(
            f"There is no threshold for {model_path}: put the {METADATA_FILE} of its training beside it, or give "
            "--threshold."
        )
    return Decision(trained.suggested, "metadata", trained)


def summarise(
    model_path: Path,
    model: GridModel,
    metadata: AnomalyMetadata | None,
    image_scaling: str,
    tiling: Tiling | None = None,
) -> ModelSummary:
    """What the results say of the model; its grid is that of a whole photo."""
    _, height, width, channels = model.input.shape
    _, rows, columns = model.output.shape
    trained = metadata.grid if metadata else Grid(rows=rows, columns=columns)
    grid = Grid(rows=rows, columns=columns, cells=trained.cells, ignored=trained.ignored)
    cells, photo = grid.geometry(height, width), None
    if tiling:
        cells = tiling.cells(cells)
        photo = PhotoSize(**dict(zip(("height", "width"), tiling.photo_shape(height, width), strict=True)))
    return ModelSummary(
        file=model_path.name,
        format=model.format,
        sha256=digest(model_path),
        bytes=model_path.stat().st_size,
        input_type=model.input.dtype,
        input=InputInfo(height=height, width=width, channels=channels, scaling=image_scaling, tiles=tiling),
        grid=Grid(rows=cells.shape[0], columns=cells.shape[1], cells=cells, ignored=None if tiling else grid.ignored),
        photo=photo,
        scoring_function=metadata.scoring_function if metadata else None,
        backbone=metadata.backbone if metadata else None,
        settings=metadata.settings if metadata else None,
        training_images=metadata.training_images if metadata else None,
        tuning=metadata.tuning if metadata else None,
    )


def _open_images(directory: Path, image_scaling: str, info: Info) -> tuple[SplitName, Split, Images]:
    """The test split, or the training images where there is none, as an anomaly block is given none.

    Training images are good, by what training takes. Raises UserError where there are no images at all.
    """
    split = dataset.open_split(directory, "test", image_scaling, info)
    if split.images is not None:
        return "test", split, split.images
    try:
        split = dataset.open_split(directory, "train", image_scaling, info)
    except UserError as error:
        raise UserError(
            f"{directory} holds no test images (X_split_test.npy is missing or empty), and no training images to show "
            f"in their place: export the test set or use fomoad import. ({error})"
        ) from error
    assert split.images is not None
    log(f"{directory} holds no test images: the report shows the training images, and what made defects say.")
    return "train", replace(split, labels=[NORMAL] * len(split)), split.images


def _with_defects(
    results: Results, model: GridModel, split: Split, source: SplitName, metadata: AnomalyMetadata | None
) -> Results:
    """The results with what made defects say: measured here on test images that are all good, else by the training."""
    if source == "test" and all(image.anomalous is False for image in results.images):
        detection = made_defects.measure(model, split, results)
    else:
        detection = None
    files = metadata.models.values() if metadata else ()
    trained = next((file.detection for file in files if file.sha256 == results.model.sha256), None)
    return results.model_copy(update={"detection": detection or trained})


def score_photos(model: GridModel, images: Images, tiling: Tiling | None, cells: CellGeometry) -> NDArray[np.float32]:
    """The grids of whole photos, (N, rows, columns), which tiles' are joined to. See `score_images`."""
    grids = score_images(model, images)
    return tiling.join_all(grids, cells) if tiling else grids


def _check_tiles(model_path: Path, metadata: AnomalyMetadata | None, split: Split) -> None:
    """Warn where a model's thresholds are for photos that are cut otherwise than the data."""
    if metadata and metadata.input.tiles != split.tiling:
        warn(f"{model_path} was trained on photos that were cut otherwise: its thresholds are not for these.")


def score_images(model: GridModel, images: Images) -> NDArray[np.float32]:
    """All grids, (N, rows, columns). Raises UserError for images or scores that are not finite numbers."""
    grids = np.empty((len(images), *model.output.shape[1:]), np.float32)
    for rows, batch in track(images.batches(), "Scoring test images", len(images), lambda item: len(item[1])):
        dataset.check_values(images, rows, batch)
        grids[rows] = model.score(batch)
    bad = np.flatnonzero(~np.isfinite(grids).all(axis=(1, 2)))
    if len(bad):
        raise UserError(f"The model's score of test image {bad[0]} is not a finite number: train the model again.")
    return grids


def _masks(masks: Rows) -> Iterator[NDArray[np.bool_]]:
    """One mask at a time, (height, width), True where the defect is."""
    for row in range(len(masks)):
        yield _mask(masks, row)


def _mask(masks: Rows, row: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = masks.rows(slice(row, row + 1))[0] > MASK_MIDDLE
    return inside


def _picture(photos: Split, row: int) -> Picture:
    images = photos.images
    assert images is not None
    pixels = scaling.to_pixels(images.rows(slice(row, row + 1))[0], images.scaling)
    mask = None if photos.masks is None else _mask(photos.masks, row)
    return pictures.picture(pixels, mask, photos.proportions(row), pictures.longest_side(len(photos)))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lines(results: Results) -> Iterator[str]:
    """The figures, for the log."""
    count, source = len(results.images), results.threshold_source
    yield f"{count} test images at threshold {results.threshold:.6g} (from the {source})"
    if results.confusion:
        counts = results.confusion
        yield (
            f"  found {counts.true_positives}, missed {counts.false_negatives}, "
            f"false alarms {counts.false_positives}, passed {counts.true_negatives}"
        )
    for name in ("auroc", "average_precision", "f1", "precision", "recall"):
        value = getattr(results, name)
        yield f"  {name}: {f'{value:.4f}' if value is not None else f'none, {results.undefined[name]}'}"
    if results.pixel:
        yield f"  per pixel: auroc {results.pixel.auroc:.4f}, aupro {results.pixel.aupro:.4f}"
    if len(results.kinds) > 1:
        worst = results.kinds[0]
        yield f"  the kind found worst: {worst.label}, {worst.found} of {worst.images}"
    if results.detection:
        yield f"  made defects: {summary.sentence(results.detection)}"
