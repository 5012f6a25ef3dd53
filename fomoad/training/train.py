"""A training from a data directory to an output directory.

Everything that can be wrong is looked for before TensorFlow is imported, which takes seconds.
"""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fomoad.backbones.weights import find_weights
from fomoad.cluster.engine import Engine
from fomoad.cluster.open import Cluster
from fomoad.data import dataset, groups
from fomoad.data.dataset import Split
from fomoad.data.info_file import read_info
from fomoad.data.label_names import LABELS_FILE, LabelNames, anomalous_flags, kept_label_names, only_unknown
from fomoad.errors import UserError
from fomoad.export import output_directory
from fomoad.features.store import check_work_directory
from fomoad.parameters import Parameters
from fomoad.progress import log, warn
from fomoad.settings import TrainSettings
from fomoad.training import ignoring, places
from fomoad.training.looking import look_at, look_together
from fomoad.training.places import Place
from fomoad.training.training_data import TrainingData

MIN_IMAGES: Final = 2
SHOWN_IDS: Final = 10
HERE: Final = Cluster()


def train(
    parameters: Parameters,
    data_directory: Path,
    out_directory: Path,
    info_file: Path | None = None,
    work_directory: Path | None = None,
    keep_state: bool = True,
    label_names: LabelNames | None = None,
    cluster: Cluster = HERE,
    shared_directory: Path | None = None,
) -> None:
    """Train on the images of a data directory and write models and metadata to the output directory.

    Features that are too many for the memory are stored in the work directory meanwhile. `keep_state` writes what an
    update starts from and a monitor compares with. `label_names` outrank those that are kept with the data.

    On a cluster, passes over all images are done by its workers, by way of files in the shared directory. What a run
    has left there that was broken off is taken by the next.

    Raises UserError where the data, the settings or the surroundings do not allow it; nothing is written then.
    """
    if work_directory is not None:
        check_work_directory(work_directory)
    places.check(cluster, shared_directory)
    settings = parameters.settings
    with output_directory.reserve(out_directory), contextlib.ExitStack() as stack:
        engine, place = None, None
        if cluster.address is not None:
            engine = stack.enter_context(cluster.open())
            places.check_kind(engine)
        data = open_directory(settings, data_directory, info_file, label_names, engine)
        if engine is not None:
            place = stack.enter_context(places.opened(engine, shared_directory, work_directory, settings, data))
        files = fit(parameters, data, work_directory, keep_state, place)
        output_directory.publish(out_directory, files)
    for name, content in files.items():
        log(f"Wrote {out_directory / name} ({len(content) / 1024:.0f} KiB)")


def open_directory(
    settings: TrainSettings,
    directory: Path,
    info_file: Path | None = None,
    label_names: LabelNames | None = None,
    engine: Engine | None = None,
) -> TrainingData:
    """Open and check the training images of a data directory. Raises UserError as `check` does."""
    split = dataset.open_split(directory, "train", settings.image_input_scaling, read_info(info_file, directory))
    names = (label_names or LabelNames()).over(kept_label_names(directory))
    return check(settings, split, str(directory), names, engine)


def check(
    settings: TrainSettings, split: Split, where: str, names: LabelNames, engine: Engine | None = None
) -> TrainingData:
    """Check training images, find the weights of the backbone, and see that there is room for temporary files.

    `where` names the images in messages. An engine's workers read them, where there is one.

    Raises UserError for too few images, values that are not images of the scaling, images labelled anomaly, and weights
    that are not to be had.
    """
    output_directory.check_temporary_folder()
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    images = split.images
    if images is None or len(images) < MIN_IMAGES:
        raise UserError(f"{where} holds {len(split)} training images: at least {MIN_IMAGES} of good parts are needed.")
    _refuse_anomalies(split, where, names)
    ignored = ignoring.read(settings, split)
    looked = look_at(images) if engine is None else look_together(images, engine)
    lowest, highest = looked.lowest, looked.highest
    if lowest == highest:
        raise UserError(f"All training images in {where} are of one constant value {lowest:g}: give real images.")
    doubt = dataset.scaling_doubt(images, lowest, highest)
    if doubt:
        warn(f"{doubt}; if so, set --image-input-scaling.")
    alike = groups.near_identical_hint(looked.thumbnails) if len(set(split.ids)) == len(images) else None
    if alike:
        warn(alike)
    height, width, channels = images.shape
    log(f"{len(images)} training images of {width} x {height} pixels, {channels} channel(s)")
    if split.tiling:
        log(f"They are {split.tiling.rows} x {split.tiling.columns} tiles of {len(split.photos())} photos.")
    if height != width:
        reads = "past the end of" if width > height else "only a part of"
        warn(
            "the images are not square: Edge Impulse's device library swaps rows and columns of score grids, so it "
            f"reads {reads} this one. TFLite Micro with the code of fomoad device-kit reads it right."
        )
    return TrainingData(split, images, weights, looked.digest, ignored)


def fit(
    parameters: Parameters,
    data: TrainingData,
    work_directory: Path | None = None,
    keep_state: bool = True,
    place: Place | None = None,
) -> dict[str, bytes]:
    """Train on checked images: the names of all files and their contents, the metadata last.

    Passes over all images run at a place: in this process where none is given. Raises UserError where the settings
    cannot be kept with these images.
    """
    log(f"Backbone {data.weights.backbone} with weights: {data.weights.origin}")
    with _no_collection():
        from fomoad.training import tuning
        from fomoad.training.models import train_models

    settings = parameters.settings.model_copy(update={"backbone": data.weights.backbone})
    settings, tuned = tuning.tune(settings, data, work_directory)
    place = place or places.Here(settings.memory_limit * 2**20, work_directory)
    return train_models(parameters, settings, data, place, work_directory, keep_state, tuned)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """TensorFlow's import makes a million objects that stay: looking for garbage among them takes half a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _refuse_anomalies(split: Split, where: str, names: LabelNames) -> None:
    """Raise UserError for images with a label that means an anomaly, or that may well mean one."""
    alone = only_unknown(split.labels, names)
    if alone is not None:
        log(
            f"All training images have the label '{alone}', which is not known to mean good parts: they are taken as "
            f"good. If they are not, say so in a label map (--labels FILE, or {LABELS_FILE} in the data directory)."
        )
        return
    flags = anomalous_flags(split.labels, names)
    found = [row for row, flag in enumerate(flags) if flag]
    if found:
        labels = ", ".join(sorted({str(split.labels[row]) for row in found}))
        shown = ", ".join(split.ids[row] for row in found[:SHOWN_IDS]) + (", ..." if len(found) > SHOWN_IDS else "")
        raise UserError(
            f"{len(found)} training images in {where} are labelled {labels}, which means defects (sample ids "
            f"{shown}): training takes good parts only, so move them to the test set, correct their labels, or say in "
            f"a label map (--labels FILE, or {LABELS_FILE} in the data directory) what the labels mean."
        )
