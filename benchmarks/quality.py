"""Detection quality and cost, measured as a user would: `python -m benchmarks.quality [--quick]`.

For each data set and setting a whole training; then the model files score the test images. Rows with no model file
are references (benchmarks/references.py) over the same backbone's features. Data sets: the sample data in
`--sample SEED:DIFFICULTY`, the magnetic tiles' folder (`--tiles DIR`, the one with split.json), and folders in the
MVTec AD layout (`--mvtec DIR...`). A table (Markdown and JSON) and pictures go to `--out`; a second run goes on where
the first one ended.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import references
from benchmarks.data_sets import SCALING, TestImages, data_sets, read_test
from benchmarks.rows import Row, mean
from benchmarks.rows import read as read_rows
from benchmarks.rows import write as write_rows
from benchmarks.thresholds import in_batches
from fomoad.backbones import load
from fomoad.backbones.weights import Weights, find_weights
from fomoad.data import dataset
from fomoad.export.output_directory import METADATA_FILE
from fomoad.features import extractor
from fomoad.features.pooling import Features, Pooling
from fomoad.features.store import FeatureSource
from fomoad.geometry import CellGeometry
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.metrics import image_metrics
from fomoad.metrics.pixel_metrics import count_pixels
from fomoad.parameters import Parameters
from fomoad.scorers import gmm
from fomoad.scorers.standardisation import Moments, standardisation
from fomoad.settings import TrainSettings
from fomoad.training.fit_gmm import fit_mixture
from fomoad.training.fitters import fitter
from fomoad.training.models import build_features
from fomoad.training.sampling import MAX_CELLS
from fomoad.training.train import train

QUICK_SAMPLE = ["1:medium"]
SAMPLE = ["1:easy", "1:medium", "2:medium", "1:hard", "2:hard"]
SETTINGS: dict[str, dict[str, Any]] = {
    "GMM low": {"capacity": "low"},
    "GMM medium (default)": {},
    "GMM high": {"capacity": "high"},
    "PatchCore 1 layer": {"scoring_function": "patchcore", "layers": 1},
    "PatchCore 2 layers": {"scoring_function": "patchcore", "layers": 2},
    "PatchCore 3 layers (default)": {"scoring_function": "patchcore"},
    "PatchCore, features unscaled": {"scoring_function": "patchcore", "feature_scaling": "none"},
}
QUICK = ("GMM medium (default)", "PatchCore 3 layers (default)")
FILES = {"float32": "model.tflite", "int8": "model_quantized_int8_io.tflite"}
SEEDS = (1, 2, 3, 4, 5)
STOCK, PUBLISHED = "stock GMM", "PatchCore as published"
REFERENCE_LAYERS = ("block_6_expand_relu", "block_10_expand_relu")
"""Of the default backbone: the stock scorer's layer at 1/8, and the one at 1/16 that PatchCore joins with it."""


def main() -> None:
    """Parse the arguments, measure what is not yet measured, write table and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("quality"), help="folder for table and pictures")
    parser.add_argument("--sample", nargs="*", help=f"SEED:DIFFICULTY of sample data (default: {' '.join(SAMPLE)})")
    parser.add_argument("--tiles", type=Path, help="the magnetic tiles' folder")
    parser.add_argument("--mvtec", type=Path, nargs="*", default=[], help="folders in the MVTec AD layout")
    parser.add_argument("--settings", nargs="*", help="names of settings to measure (default: all)")
    parser.add_argument("--backbone", default="mobilenet-v2-0.35")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--sampling-ratio", type=float, default=0.1, help="share of patches in all memory banks")
    parser.add_argument("--scorers-only", action="store_true", help="no model files: the float scorers' figures alone")
    parser.add_argument("--quick", action="store_true", help="one set of sample data, default settings, no repetitions")
    arguments = parser.parse_args()
    sample = arguments.sample if arguments.sample is not None else QUICK_SAMPLE if arguments.quick else SAMPLE
    names = arguments.settings or (QUICK if arguments.quick else tuple(SETTINGS))
    common = {
        "backbone": arguments.backbone,
        "weights": arguments.weights,
        "weights_resolution": arguments.weights_resolution,
        "sampling_ratio": arguments.sampling_ratio,
    }
    measure = measure_scorer if arguments.scorers_only else measure_files
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(arguments.out / "quality.json")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in data_sets(sample, arguments.tiles, arguments.mvtec):
            measured = {row.setting for row in rows if row.data == name}
            missing = [setting for setting in names if setting not in measured]
            if not missing and STOCK in measured:
                continue
            directory = Path(folder) / "data"
            write(directory)
            if STOCK not in measured:
                rows += measure_references(name, directory, TrainSettings(**common), () if arguments.quick else SEEDS)
            for setting in missing:
                rows += measure(name, setting, directory, TrainSettings(**SETTINGS[setting], **common))
                write_rows(arguments.out, rows)
    write_rows(arguments.out, rows)


def measure_files(data: str, setting: str, directory: Path, settings: TrainSettings) -> list[Row]:
    """Train, then score the test images with both TFLite files."""
    test = read_test(directory)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.process_time()
        train(Parameters.of(settings.model_dump()), directory, out / "models")
        seconds = time.process_time() - began
        metadata = AnomalyMetadata.model_validate_json((out / "models" / METADATA_FILE).read_bytes())
        rows = []
        for label, file in FILES.items():
            record = metadata.models[file]
            grids = load_model(out / "models" / file).score(test.images)
            counts = image_metrics.confusion(grids.max(axis=(1, 2)), test.anomalous, record.threshold.suggested)
            profile = record.profile
            rows.append(
                Row(
                    data, setting, label, *_areas(grids, test, _cells(metadata)), f1=counts.f1,
                    false_alarms=counts.false_positives / max(1, int((~test.anomalous).sum())),
                    flash=record.bytes, arena=profile.arena_bytes if profile else None,
                    macs=profile.macs if profile else None, cpu_seconds=seconds,
                )
            )  # fmt: skip
    return rows


def measure_scorer(data: str, setting: str, directory: Path, settings: TrainSettings) -> list[Row]:
    """Fit the float scorer, and score the test images with it."""
    test = read_test(directory)
    split, train, found = _training_images(directory, settings)
    features = build_features(settings, train, found)
    extract = extractor.extractor(features)
    held = in_batches(extract, test.images)
    began = time.process_time()
    source = FeatureSource(train, extract, settings.memory_limit * 2**20)
    fit = fitter(settings, train.shape).fit(source, split.ids)
    seconds = time.process_time() - began
    grids = fit.scorer.score(held)
    counts = image_metrics.confusion(grids.max(axis=(1, 2)), test.anomalous, float(fit.held_out_scores.max()))
    false_alarms = counts.false_positives / max(1, int((~test.anomalous).sum()))
    areas = _areas(grids, test, fit.scorer.cells(features.cells()))
    return [Row(data, setting, "", *areas, f1=counts.f1, false_alarms=false_alarms, cpu_seconds=seconds)]


def measure_references(data: str, directory: Path, settings: TrainSettings, seeds: tuple[int, ...]) -> list[Row]:
    """The references, and the default mixture's float scorer once for each of `seeds`, on features computed once.

    The stock scorer's figures are means over the seeds: its random projection moves them.
    """
    test = read_test(directory)
    _, train, found = _training_images(directory, settings)
    images = np.concatenate([batch for _, batch in train.batches()])
    eighth, joined = ([], [])
    placed = []
    for layers, features in ((REFERENCE_LAYERS[:1], eighth), (REFERENCE_LAYERS, joined)):
        network = load.load(found.backbone, found, train.shape, SCALING, layers)
        each_cell = Features(network, layers[0], Pooling(1))
        placed.append(each_cell.cells())
        plain = extractor.extractor(each_cell)
        features += [in_batches(plain, each) for each in (images, test.images)]
    own = build_features(settings, train, found)
    extract = extractor.extractor(own)
    fitted, held = (in_batches(extract, each) for each in (images, test.images))
    windows = CellGeometry(placed[0].vertical.pooled(3, 2), placed[0].horizontal.pooled(3, 2))
    stock = [_areas(references.stock_gmm(*eighth, seed), test, windows) for seed in seeds or (1,)]
    published = references.patchcore(*joined, settings.sampling_ratio, seed=1)
    rows = [
        Row(data, STOCK, "", *(mean(list(figures)) for figures in zip(*stock, strict=True))),
        Row(data, PUBLISHED, "", *_areas(published, test, placed[1])),
    ]
    scaling = standardisation(Moments.of(fitted))
    cells = fitted.reshape(-1, fitted.shape[-1])
    for seed in seeds:
        some = np.random.default_rng(seed).permutation(len(cells))[:MAX_CELLS]
        positions = some % scaling.positions
        standardise = scaling.whitened(positions, cells[some])
        scaled = standardise.at(positions, cells[some])
        scorer = fit_mixture(scaled, standardise, gmm.CAPACITIES[settings.capacity], seed)
        rows.append(Row(data, f"seed {seed}", "", *_areas(scorer.score(held), test, own.cells())))
    return rows


def _training_images(directory: Path, settings: TrainSettings) -> tuple[dataset.Split, dataset.Images, Weights]:
    """The training half of a data directory, its images, and the weights to see them with."""
    split = dataset.open_split(directory, "train", SCALING)
    assert split.images is not None
    found = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    return split, split.images, found


def _cells(metadata: AnomalyMetadata) -> CellGeometry:
    return metadata.grid.geometry(metadata.input.height, metadata.input.width)


def _areas(
    grids: NDArray[np.float32], test: TestImages, cells: CellGeometry
) -> tuple[float, float | None, float | None]:
    """Image AUROC, AUPRO and pixel AUROC."""
    image = image_metrics.auroc(image_metrics.operating_points(grids.max(axis=(1, 2)), test.anomalous))
    assert image is not None
    if test.masks is None:
        return image, None, None
    pixels = count_pixels(grids, test.masks, cells)
    return image, pixels.aupro(), pixels.auroc()


if __name__ == "__main__":
    main()
