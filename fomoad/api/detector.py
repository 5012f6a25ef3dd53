"""A detector that is fitted to good images, scores new ones, and is saved and loaded."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from fomoad import extras, state_file
from fomoad.api import prediction
from fomoad.api.prediction import Prediction
from fomoad.data import dataset, import_images
from fomoad.data.label_names import LabelNames
from fomoad.data.tiles import OVERLAP
from fomoad.errors import NotFittedError, UserError
from fomoad.export import output_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.inference import ignored_cells, predict, runtimes
from fomoad.inference.image_paths import image_paths
from fomoad.inference.model import FORMATS, read_file
from fomoad.inference.predict import Detector
from fomoad.parameters import Parameters, read_parameters
from fomoad.progress import log
from fomoad.settings import TrainSettings
from fomoad.training import train

MODEL_FILE: Final = "model.tflite"
"""The model that a detector uses which was just fitted."""
TRAINING_IMAGES: Final = "X_split_train.npy"
"""What makes a folder a data directory."""

StrPath = str | os.PathLike[str]


def _signature() -> inspect.Signature:
    """The constructor's signature: one keyword for each setting."""
    kind = inspect.Parameter.KEYWORD_ONLY
    fields = TrainSettings.model_fields.items()
    return inspect.Signature(
        [inspect.Parameter(name, kind, default=field.default, annotation=field.annotation) for name, field in fields]
    )


class AnomalyDetector:
    """Learns from images of good parts, and says where a new image differs.

    The keyword arguments are the settings of `fomoad train`, with underscores: `scoring_function`, `backbone`,
    `sampling_ratio`, `seed` and so on. They, `get_params` and `set_params` follow scikit-learn, so that
    `sklearn.base.clone` works. Higher scores are more anomalous.

    Only warnings are shown. `logging.basicConfig(level=logging.INFO)` shows how a training gets on.

    Raises:
        TypeError: A keyword is no setting.
        UserError: A value is not allowed.

    Examples:
        >>> import fomoad
        >>> import numpy as np
        >>> random = np.random.default_rng(0)
        >>> good = random.integers(90, 110, (12, 32, 32, 3), dtype=np.uint8)
        >>> detector = fomoad.AnomalyDetector(scoring_function="patchcore", layers=1, sampling_ratio=0.5)
        >>> detector = detector.fit(good)
        >>> new = good[:2].copy()
        >>> new[1, 8:24, 8:24] = 255
        >>> result = detector.predict(new)
        >>> result.maps.shape
        (2, 4, 4)
        >>> result.verdicts.tolist()
        ['no anomaly', 'anomaly']
        >>> detector.save("models")
    """

    __signature__: ClassVar[inspect.Signature] = _signature()

    def __init__(self, **settings: Any) -> None:
        self._given: dict[str, Any] = {}
        self._detector: Detector | None = None
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.set_params(**settings)

    def __repr__(self) -> str:
        fields = TrainSettings.model_fields
        changed = [f"{name}={value!r}" for name, value in self._given.items() if value != fields[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return self._detector is not None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings by name, defaults included. `deep` is there for scikit-learn and changes nothing."""
        return {name: field.default for name, field in TrainSettings.model_fields.items()} | self._given

    def set_params(self, **settings: Any) -> Self:
        """Change some settings for the next `fit`, and return this detector.

        Raises:
            TypeError: A keyword is no setting.
            UserError: A value is not allowed. Nothing is changed then.
        """
        unknown = [name for name in settings if name not in TrainSettings.model_fields]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {unknown[0]!r}: see get_params().")
        Parameters.of(self._given | settings)
        self._given |= settings
        return self

    def fit(
        self,
        images: ArrayLike | StrPath,
        y: None = None,
        *,
        sample_ids: Sequence[str] | None = None,
        size: int | tuple[int, int] = 96,
        resize: str = "squash",
        channels: int = 3,
        tiles: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        work_directory: StrPath | None = None,
    ) -> Self:
        """Train on images of good parts, in this process, and return this detector.

        Args:
            images: An array (N, height, width, channels), at least 2 images of 32 pixels a side with 1 or 3 channels
                (RGB): uint8 pixels, or floats scaled as the setting `image_input_scaling` says. Or the path of a folder
                of photos, laid out as for `fomoad import`, or of a data directory.
            y: Ignored, there for scikit-learn.
            sample_ids: For an array: the part that each image shows. Images of one part stay together when thresholds
                are found. None: each image shows a part of its own.
            size: For photos: the side, or width and height, in pixels that they are brought to.
            resize: For photos: how, one of `squash`, `fit-short`, `fit-long`, `crop`.
            channels: For photos: 1 for grey, 3 for RGB.
            tiles: For photos: rows and columns of tiles of `size` that each is cut into; `predict` then does the same.
            overlap: The share of a tile that its neighbour shows too.
            work_directory: A folder on a disk for features that are too many for the memory.

        Raises:
            UserError: The images, the settings or the surroundings do not allow it; the sentence says what to do.
        """
        extras.require("train", "Training")
        parameters = Parameters.of(self._given)
        parameters.warn_of_idle()
        if isinstance(images, str | os.PathLike):
            sides = (size, size) if isinstance(size, int) else size
            cut = (tiles, overlap)
            with _data_directory(Path(images), sides, resize, channels, parameters.settings, cut) as directory:
                data = train.open_directory(parameters.settings, directory)
                files = train.fit(parameters, data, _path(work_directory))
        else:
            if tiles is not None:
                raise UserError("Tiles are cut out of photos: give a folder of photos in the place of an array.")
            array: NDArray[Any] = np.asarray(images)
            split = dataset.split_in_memory(array, parameters.settings.image_input_scaling, sample_ids)
            data = train.check(parameters.settings, split, "The array", LabelNames())
            files = train.fit(parameters, data, _path(work_directory))
        self._files = files
        self._detector = _own_detector(files)
        return self

    def predict(self, images: ArrayLike | StrPath | Iterable[StrPath], *, threshold: float | None = None) -> Prediction:
        """Score images.

        Args:
            images: An array (N, height, width, channels) of the size that the model was trained with: uint8 pixels, or
                floats of the training's scaling. With tiles: uint8 photos of any size. Or the path of a photo or of a
                folder of photos, or several such paths: they may have any size.
            threshold: The score from which on a cell is anomalous; None for that of the training.

        Raises:
            NotFittedError: There was no `fit`.
            UserError: The images do not fit the model, or a photo cannot be read.
        """
        detector = self._fitted()
        if threshold is not None:
            if not predict.usable_threshold(threshold):
                raise UserError(f"The threshold {threshold:g} cannot be used: give a number that is 0 or more.")
            detector = replace(detector, threshold=threshold)
        paths = _paths(images)
        with self._lock:  # a runtime scores one image at a time
            if paths is not None:
                return prediction.of_files(detector, paths)
            return prediction.of_array(detector, np.asarray(images))

    @property
    def threshold(self) -> float:
        """The score from which on a cell is anomalous. Raises NotFittedError before `fit`."""
        return self._fitted().threshold

    def save(self, directory: StrPath) -> None:
        """Write the model files and their metadata to a directory: the bytes that `fomoad train` writes.

        All files appear together, or none does. Files of these names that were there are replaced.

        Raises:
            NotFittedError: There was no `fit`.
            UserError: The directory cannot be written.
        """
        self._fitted()
        with output_directory.reserve(Path(directory)):
            output_directory.publish(Path(directory), self._files)
        log(f"Wrote {', '.join(self._files)} to {directory}")

    def _fitted(self) -> Detector:
        if self._detector is None:
            raise NotFittedError("This AnomalyDetector is not fitted yet: call fit, or fomoad.load a model.")
        return self._detector


def load(path: StrPath, *, threshold: float | None = None, trust: bool = False) -> AnomalyDetector:
    """Load what a training wrote: a directory of models, or one model file.

    Of a directory, `model.tflite` is used, or the first of the other models where it is missing. A `.tflite` file needs
    no TensorFlow. The settings and the threshold come from the `anomaly_metadata.json` beside the model.

    Args:
        path: The directory, or a `.tflite`, `.onnx` or `saved_model.zip` file.
        threshold: A threshold of your own; needed where there is no metadata.
        trust: Run the model in this process and unchecked: faster, for files that you made yourself. Otherwise its
            content is checked, and it runs in a process of its own, where a damaged file can crash nothing.

    Raises:
        UserError: There is no model, it is damaged, or there is no threshold for it.

    Examples:
        >>> detector = fomoad.load("models")
        >>> detector.get_params()["scoring_function"]
        'patchcore'
    """
    path = Path(path)
    model_paths = _models_in(path) if path.is_dir() else [path]
    chosen, metadata = model_paths[0], path / METADATA_FILE if path.is_dir() else path.parent / METADATA_FILE
    loaded = predict.load_detector(chosen, threshold, None, None, trust)
    contents = {file.name: read_file(file) for file in model_paths}
    settings: dict[str, Any] = {}
    if metadata.is_file() and hashlib.sha256(contents[chosen.name]).hexdigest().encode() in metadata.read_bytes():
        settings = read_parameters(metadata)
        state = metadata.with_name(state_file.FILE)
        if path.is_dir() and state.is_file():
            contents[state_file.FILE] = state.read_bytes()
        contents[METADATA_FILE] = metadata.read_bytes()
    detector = AnomalyDetector(**settings)
    detector._detector = loaded
    detector._files = contents
    return detector


def _models_in(directory: Path) -> list[Path]:
    """The model files of a directory, `model.tflite` first. Raises UserError where there is none."""
    order = list(FORMATS)
    found = [file for file in directory.iterdir() if file.suffix in order and file.is_file()]
    if not found:
        raise UserError(f"There is no model in the directory {directory}: give one that `fomoad train` wrote.")
    return sorted(found, key=lambda file: (order.index(file.suffix), file.name))


def _own_detector(files: dict[str, bytes]) -> Detector:
    """The detector of files that were just made, which nobody else had in hand."""
    from fomoad.metadata import AnomalyMetadata

    metadata = AnomalyMetadata.model_validate_json(files[METADATA_FILE])
    model = runtimes.load("tflite", files[MODEL_FILE], MODEL_FILE)
    suggested = metadata.models[MODEL_FILE].threshold.suggested
    image = metadata.input
    cells = metadata.grid.geometry(image.height, image.width)
    grid = metadata.grid
    ignored = ignored_cells.of_text(grid.ignored, (grid.rows, grid.columns))
    resize = image.resize or predict.DEFAULT_RESIZE
    return Detector.of(model, suggested, image.scaling, resize, cells, tiling=image.tiles, ignored=ignored)


@contextlib.contextmanager
def _data_directory(
    folder: Path,
    size: tuple[int, int],
    resize: str,
    channels: int,
    settings: TrainSettings,
    cut: tuple[tuple[int, int] | None, float],
) -> Iterator[Path]:
    """A data directory: the folder itself if it is one, else one that is made of the photos in it."""
    if (folder / TRAINING_IMAGES).exists():
        if cut[0] is not None:
            raise UserError(f"{folder} holds images that are cut already: give a folder of photos, or leave tiles out.")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="fomoad-") as directory:
        import_images.run(
            folder, Path(directory), size, resize, channels, scaling=settings.image_input_scaling,
            tiles=cut[0], overlap=cut[1],
        )  # fmt: skip
        yield Path(directory)


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path)


def _paths(images: Any) -> list[Path] | None:
    """The image files that paths or folders name; None where these are no paths."""
    if isinstance(images, str | os.PathLike):
        images = [images]
    if isinstance(images, np.ndarray):
        return None
    items = list(cast(Iterable[Any], images))
    if not items or not all(isinstance(item, str | os.PathLike) for item in items):
        return None
    return [path for path, _ in image_paths(map(os.fspath, items))]
