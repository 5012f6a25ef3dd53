"""The data sets that measurements are made on, as data directories."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

from fomoad.data import dataset, import_images
from fomoad.data.label_names import anomalous_flags, kept_label_names
from fomoad.data.samples import generate
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.data.writer import MASK_DEFECT, Sample, write_data_directory

SIZE = 96
SCALING = DEFAULT_SCALING
SAMPLE_TESTS = 150
"""Normal test photos of the sample data, and as many defective ones: with 60, an AUROC is unsure by 0.04."""


VARIETIES = 12
"""Groups that images fall into by their colours: as many as the paper set has materials."""


@dataclass(frozen=True)
class Varieties:
    """Groups of images whose colours are alike, such as one material, from the one that is least like others on."""

    groups: KMeans
    scale: NDArray[np.float64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, images: NDArray[np.float32]) -> "Varieties":
        """Group images (N, height, width, channels) by the mean and the deviation of each channel."""
        colours = _colours(images)
        scale = np.maximum(colours.std(axis=0), 1e-9)
        groups = KMeans(VARIETIES, n_init=10, random_state=0).fit(colours / scale)
        between = groups.transform(groups.cluster_centers_)
        np.fill_diagonal(between, np.inf)
        return cls(groups, scale, np.argsort(-between.min(axis=1)))

    def members(self, images: NDArray[np.float32], place: int) -> NDArray[np.bool_]:
        """Which images (N, ...) are of the group at this place in the order."""
        found: NDArray[np.bool_] = self.groups.predict(_colours(images) / self.scale) == self.order[place]
        return found


def _colours(images: NDArray[np.float32]) -> NDArray[np.float64]:
    axes = (1, 2)
    return np.concatenate([images.mean(axis=axes), images.std(axis=axes)], axis=1, dtype=np.float64)


@dataclass(frozen=True)
class TestImages:
    """Test images as they come from the data directory, which of them show an anomaly, and their masks if any."""

    images: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.uint8] | None


def read_test(directory: Path, scaling: str = SCALING) -> TestImages:
    """The test half of a data directory, its images scaled so."""
    split = dataset.open_split(directory, "test", scaling)
    assert split.images is not None
    images = np.concatenate([batch for _, batch in split.images.batches()])
    anomalous = np.array(anomalous_flags(split.labels, kept_label_names(directory)), bool)
    masks = None if split.masks is None else split.masks.rows(slice(0, len(split)))
    return TestImages(images, anomalous, masks)


def write_tiles(folder: Path, directory: Path, size: int = SIZE) -> None:
    """The magnetic tiles, divided as their split.json says, as a data directory with masks."""
    split = json.loads((folder / "split.json").read_text())

    def samples(entries: list[dict[str, str]]) -> Iterator[Sample]:
        for entry in entries:
            photo = Image.open(folder / entry["image"]).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            is_anomaly = entry.get("label") == "anomaly"
            mask = None
            if is_anomaly:
                drawn = Image.open(folder / entry["mask"]).convert("L").resize((size, size), Image.Resampling.BOX)
                mask = np.where(np.asarray(drawn) > MASK_DEFECT // 4, MASK_DEFECT, 0).astype(np.uint8)
            yield Sample(np.asarray(photo), is_anomaly, entry["image"], mask, str(entry["tile"]))

    write_data_directory(directory, samples(split["train"]), samples(split["test"]), SCALING)


def data_sets(
    sample: list[str], tiles: Path | None, mvtec: list[Path]
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each data set's name, and what writes it into a data directory."""
    for each in sample:
        seed, difficulty = each.split(":")
        yield (
            f"sample {difficulty} {seed}",
            lambda out, seed=seed, level=difficulty: generate.run(
                out, SIZE, int(seed), test_normal=SAMPLE_TESTS, test_anomaly=SAMPLE_TESTS, difficulty=level
            ),
        )
    if tiles:
        yield "magnetic tiles", lambda out: write_tiles(tiles, out)
    for folder in mvtec:
        yield folder.name, lambda out, folder=folder: import_images.run(folder, out, (SIZE, SIZE), scaling=SCALING)
