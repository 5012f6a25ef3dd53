"""What a detector says of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomoad.data import dataset
from fomoad.data.image_file import Placement, place, reduction
from fomoad.errors import UserError
from fomoad.inference import predict
from fomoad.inference.predict import Detector


class Box(NamedTuple):
    """A connected part of an image that is flagged, in pixels of that image.

    Attributes:
        x: The left edge.
        y: The upper edge.
        width: The width.
        height: The height.
        score: The highest anomaly score in it.
    """

    x: int
    y: int
    width: int
    height: int
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a detector says of N images, in their order.

    Attributes:
        scores: Anomaly scores, shape (N,), float32, 0 or more: the highest value of each image's map. Higher is more
            anomalous, as in PyOD; scikit-learn's outlier detectors count the other way round.
        maps: Anomaly maps, shape (N, rows, columns), float32, one value for each cell of a grid over the image.
        verdicts: `"anomaly"` or `"no anomaly"`, shape (N,), text: whether the score reaches the threshold.
        boxes: For each image a list of `Box`, one for each connected group of cells that reach the threshold.
        threshold: The threshold, in the units of the scores.
        files: The image files, None where an array was given.
    """

    scores: NDArray[np.float32]
    maps: NDArray[np.float32]
    verdicts: NDArray[np.str_]
    boxes: list[list[Box]]
    threshold: float
    files: list[Path] | None = None

    def __len__(self) -> int:
        return len(self.scores)


def of_array(detector: Detector, array: NDArray[Any]) -> Prediction:
    """Score images (N, height, width, channels) of the model's size, or photos of any size that are cut into tiles.

    Raises UserError where they do not fit the model.
    """
    images = dataset.images_in_memory(array, detector.scaling)
    if detector.tiling is not None:
        return _of_photos(detector, array)
    maps = np.empty((len(images), *detector.model.output.shape[1:]), np.float32)
    for rows, batch in images.batches():
        dataset.check_values(images, rows, batch)
        maps[rows] = detector.model.score(batch)
    height, width, _ = images.shape
    whole = place((width, height), (width, height), "squash")
    return _prediction(detector, maps, [(whole, 1)] * len(maps), None)


def _of_photos(detector: Detector, photos: NDArray[Any]) -> Prediction:
    if photos.dtype != np.uint8 or photos.shape[3] != detector.channels:
        raise UserError(
            f"Photos that are cut into tiles must be uint8 pixels with {detector.channels} channels: the array holds "
            f"{photos.dtype} {photos.shape}."
        )
    scored = [detector.grid(Image.fromarray(photo.squeeze(2) if photo.shape[2] == 1 else photo)) for photo in photos]
    maps = np.stack([each for each, _ in scored])
    return _prediction(detector, maps, [(geometry, 1) for _, geometry in scored], None)


def of_files(detector: Detector, paths: list[Path]) -> Prediction:
    """Score image files of any size. Raises UserError for one that cannot be read."""
    maps, places = [], []
    for path in paths:
        image = detector.read(path)
        anomaly_map, geometry = detector.grid(image)
        maps.append(anomaly_map)
        places.append((geometry, reduction(image)))
    return _prediction(detector, np.stack(maps), places, paths)


def _prediction(
    detector: Detector, maps: NDArray[np.float32], places: list[tuple[Placement, int]], files: list[Path] | None
) -> Prediction:
    """What `fomoad predict` says of these anomaly maps (N, rows, columns), as arrays."""
    found = [
        predict.describe(anomaly_map, detector.threshold, detector.cells, geometry, reduced)
        for anomaly_map, (geometry, reduced) in zip(maps, places, strict=True)
    ]
    return Prediction(
        scores=maps.max(axis=(1, 2), initial=0),
        maps=maps,
        verdicts=np.array([entry["verdict"] for entry in found], dtype=np.str_),
        boxes=[[Box(**box) for box in entry["boxes"]] for entry in found],
        threshold=detector.threshold,
        files=files,
    )
