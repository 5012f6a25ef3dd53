"""Detection quality and cost, measured as a user would: `python -m benchmarks.quality [--quick]`.

For each data set and setting a whole training; then the model files score the test images. Rows with no model file
are references (benchmarks/references.py) over the same backbone's features. Data sets: the sample data in
`--sample SEED:DIFFICULTY`, the magnetic tiles' folder (`--tiles DIR`, the one with split.json), and folders in the
MVTec AD layout (`--mvtec DIR...`). A table (Markdown and JSON) and pictures go to `--out`; a second run goes on where
the first one ended.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import plots, references
from fomoad.backbones import load
from fomoad.backbones.weights import Weights, find_weights
from fomoad.data import dataset, import_images
from fomoad.data.info_file import Info, read_info
from fomoad.data.label_names import anomalous_flags, kept_label_names
from fomoad.data.samples import generate
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.data.writer import MASK_DEFECT, Sample, write_data_directory
from fomoad.export.output_directory import METADATA_FILE
from fomoad.features import extractor
from fomoad.features.pooling import Features, Pooling
from fomoad.features.store import Extract, FeatureSource
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

SIZE = 96
SCALING = DEFAULT_SCALING
QUICK_SAMPLE = ["1:medium"]
SAMPLE = ["1:easy", "1:medium", "2:medium", "1:hard", "2:hard"]
SAMPLE_TESTS = 150
"""Normal test photos of the sample data, and as many defective ones: with 60, an AUROC is unsure by 0.04."""
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
COLUMNS = (
    "data", "setting", "file", "AUROC", "AUPRO", "pixel AUROC", "F1", "false alarms", "flash", "arena", "MACs", "CPU s",
)  # fmt: skip
STOCK, PUBLISHED = "stock GMM", "PatchCore as published"
REFERENCE_LAYERS = ("block_6_expand_relu", "block_10_expand_relu")
"""Of the default backbone: the stock scorer's layer at 1/8, and the one at 1/16 that PatchCore joins with it."""


@dataclass(frozen=True)
class Row:
    """One model file (or reference) on one data set. None: has no meaning here. Sizes in bytes, time in seconds."""

    data: str
    setting: str
    file: str
    auroc: float
    aupro: float | None = None
    pixel_auroc: float | None = None
    f1: float | None = None
    false_alarms: float | None = None
    flash: int | None = None
    arena: int | None = None
    macs: int | None = None
    cpu_seconds: float | None = None


FIGURES = tuple(field.name for field in fields(Row) if field.name not in ("data", "setting", "file"))


@dataclass(frozen=True)
class TestImages:
    """Test images as they come from the data directory, which of them show an anomaly, and their masks if any."""

    images: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.uint8] | None


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
    rows = _read(arguments.out / "quality.json")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in _data_sets(sample, arguments.tiles, arguments.mvtec):
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
                _write(arguments.out, rows)
    _write(arguments.out, rows)


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
    held = _in_batches(extract, test.images)
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
        features += [_in_batches(plain, each) for each in (images, test.images)]
    own = build_features(settings, train, found)
    extract = extractor.extractor(own)
    fitted, held = (_in_batches(extract, each) for each in (images, test.images))
    windows = CellGeometry(placed[0].vertical.pooled(3, 2), placed[0].horizontal.pooled(3, 2))
    stock = [_areas(references.stock_gmm(*eighth, seed), test, windows) for seed in seeds or (1,)]
    published = references.patchcore(*joined, settings.sampling_ratio, seed=1)
    rows = [
        Row(data, STOCK, "", *(_mean(list(figures)) for figures in zip(*stock, strict=True))),
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


def read_test(directory: Path) -> TestImages:
    """The test half of a data directory."""
    split = dataset.open_split(directory, "test", SCALING, read_info(None, directory))
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


def _data_sets(
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


def _training_images(directory: Path, settings: TrainSettings) -> tuple[dataset.Split, dataset.Images, Weights]:
    """The training half of a data directory, its images, and the weights to see them with."""
    split = dataset.open_split(directory, "train", SCALING, Info())
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


def _in_batches(extract: Extract, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([extract(batch) for batch in np.array_split(images, -(-len(images) // 100))])


def _read(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text())] if path.is_file() else []


def _write(out: Path, rows: list[Row]) -> None:
    (out / "quality.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    (out / "quality.md").write_text(table(rows))
    found = means(rows)
    plots.bars(out / "auroc.svg", {key: row.auroc for key, row in found.items()}, "image AUROC; 0.5 is guessing", 0.5)
    sizes = {key: (row.flash / 1024, row.auroc) for key, row in found.items() if row.flash}
    if sizes:
        plots.scatter(out / "cost.svg", sizes, "size of the model file, KB", "image AUROC")


def means(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """For each setting and file the mean over the data sets that all of them were measured on."""
    settings = list(dict.fromkeys((row.setting, row.file) for row in rows if not row.setting.startswith("seed")))
    common = set.intersection(*({r.data for r in rows if (r.setting, r.file) == key} for key in settings))
    result = {}
    for key in settings:
        mine = [asdict(row) for row in rows if (row.setting, row.file) == key and row.data in common]
        figures = {
            name: _mean([each[name] for each in mine]) for name in mine[0] if name not in ("data", "setting", "file")
        }
        result[key] = Row(**(figures | {"data": f"mean of {len(mine)}", "setting": key[0], "file": key[1]}))
    return result


def table(rows: list[Row]) -> str:
    """All rows and their means, as Markdown."""
    shown = [row for row in rows if not row.setting.startswith("seed")]
    lines = [
        "| data | setting | model | AUROC | AUPRO | pixel AUROC | F1 | false alarms | flash | arena | MACs | CPU |"
    ]
    lines.append("|" + " --- |" * 12)
    lines += [_line(row) for row in [*means(rows).values(), *shown]]
    lines += ["", "Five seeds of the default mixture:", "", "| data | AUROC: mean | standard deviation |"]
    lines.append("| --- | --- | --- |")
    for data in dict.fromkeys(row.data for row in rows):
        found = [row.auroc for row in rows if row.data == data and row.setting.startswith("seed")]
        if found:
            lines.append(f"| {data} | {fmean(found):.3f} | {pstdev(found):.4f} |")
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    cells = [row.data, row.setting, row.file, *(shown(v, ".3f") for v in (row.auroc, row.aupro, row.pixel_auroc))]
    cells += [shown(row.f1, ".3f"), shown(row.false_alarms, ".1%")]
    cells += [f"{size / 1024:,.0f} KB" if size else "" for size in (row.flash, row.arena)]
    cells += [f"{row.macs / 1e6:.1f} M" if row.macs else "", shown(row.cpu_seconds, ".0f")]
    return f"| {' | '.join(cells)} |"


def _mean(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


if __name__ == "__main__":
    main()
