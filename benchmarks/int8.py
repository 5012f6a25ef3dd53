"""How far int8 models are from float32 ones: `python -m benchmarks.int8 DATA_DIRECTORY...`.

For each data directory and scoring function a training with default settings; then, over the test images, the AUROC of
both TFLite models, by how much their difference varies by chance (its standard deviation, by DeLong's method),
the share of images on which they agree at their own thresholds, suggested and conformal, and how far TFLite Micro is
from LiteRT, in steps of the int8 output: the most, and the share of cells. Printed as a Markdown table.

`--backwards` trains on the images in reverse order, which changes nothing but rounding and the draws.
"""

import argparse
import contextlib
import io
import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.data_sets import read_test
from fomoad import cli
from fomoad.evaluation.uncertainty import delong
from fomoad.export import tflite
from fomoad.export.output_directory import METADATA_FILE
from fomoad.inference.model import GridModel, load_model
from fomoad.metadata import AnomalyMetadata, Threshold

COLUMNS = (
    "data", "pixels", "scorer", "AUROC float32", "AUROC int8", "difference", "by chance", "same verdict, suggested",
    "conformal", "steps off reference", "steps off XNNPACK", "threshold of range", "flash", "arena",
)  # fmt: skip
NORMAL = 1.96
"""Standard deviations that a 95 % interval reaches to either side."""
RATE = 0.05
"""Of false alarms, which the conformal threshold keeps."""


def main() -> None:
    """Parse the arguments, train and measure, and print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, help="data directories with labelled test images")
    parser.add_argument("--scoring", nargs="+", default=["gmm", "patchcore"])
    parser.add_argument("--micro-images", type=int, default=40, help="test images that TFLite Micro runs")
    parser.add_argument("--backwards", action="store_true", help="train on the images in reverse order")
    parser.add_argument("--keep", type=Path, help="where to leave the trained models, and find them again")
    arguments, settings = parser.parse_known_args()
    print(f"{platform.machine()}, settings: {' '.join(settings) or 'defaults'}\n", flush=True)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for given in arguments.directories:
            directory = backwards(given, Path(folder) / "backwards" / given.name) if arguments.backwards else given
            for scoring in arguments.scoring:
                out = (arguments.keep or Path(folder)) / f"{directory.name}-{scoring}"
                cells = measure(directory, out, scoring, settings, arguments.micro_images)
                print(f"| {' | '.join(cells)} |", flush=True)


def measure(directory: Path, out: Path, scoring: str, settings: list[str], micro_images: int) -> list[str]:
    """Train and compare; the cells of one row."""
    if not (out / METADATA_FILE).is_file():
        train(directory, out, scoring, settings)
    metadata = AnomalyMetadata.model_validate_json((out / METADATA_FILE).read_bytes())
    split = read_test(directory, metadata.input.scaling)
    models = [load_model(out / name) for name in (tflite.FLOAT_FILE, tflite.INT8_FILE)]
    records = [metadata.models[name] for name in (tflite.FLOAT_FILE, tflite.INT8_FILE)]
    scores = [image_scores(model, split.images) for model in models]
    thresholds = [record.threshold for record in records]
    agreeing = [agreement(scores, [each.suggested for each in thresholds])]
    agreeing += [agreement(scores, [conformal(each) for each in thresholds])]
    aurocs = [roc_auc_score(split.anomalous, image_score) for image_score in scores]
    output, profile = models[1].output, records[1].profile
    assert output.scale is not None
    assert profile is not None
    return [
        directory.name,
        str(metadata.input.width),
        scoring,
        *(f"{auroc:.4f}" for auroc in aurocs),
        f"{aurocs[1] - aurocs[0]:+.4f}",
        f"{chance(scores, split.anomalous):.4f}",
        *agreeing,
        *micro_differences(out / tflite.INT8_FILE, models[1], split.images, micro_images),
        f"{records[1].threshold.suggested / (255 * output.scale):.2f}",
        f"{profile.flash_bytes / 1024:.0f} KiB",
        "unknown" if profile.arena_bytes is None else f"{profile.arena_bytes / 1024:.0f} KiB",
    ]


def conformal(threshold: Threshold) -> float | None:
    """The threshold that keeps the rate of false alarms; None where there are too few training images."""
    return next(each.threshold for each in threshold.choices if each.false_positive_rate == RATE)


def agreement(scores: list[Any], thresholds: list[float | None]) -> str:
    """On how many images two files agree at their own thresholds."""
    if None in thresholds:
        return "too few images"
    verdicts = [of_file >= threshold for of_file, threshold in zip(scores, thresholds, strict=True)]
    return f"{100 * np.mean(verdicts[0] == verdicts[1]):.1f} %"


def chance(scores: list[Any], anomalous: Any) -> float:
    """The standard deviation of the difference of the two files' AUROCs, by DeLong's method."""
    found = delong(*scores, anomalous)
    return (found.high - found.low) / (2 * NORMAL)


def backwards(directory: Path, target: Path) -> Path:
    """A copy of a data directory with the training images in reverse order."""
    shutil.copytree(directory, target)
    for name in ("X_split_train.npy", "Y_split_train.npy"):
        np.save(target / name, np.load(target / name)[::-1])
    for path in target.glob("sample_*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"train": content["train"][::-1]}))
    return target


def train(directory: Path, out: Path, scoring: str, settings: list[str]) -> None:
    """A training in this process, without its log."""
    arguments = ["train", "--data-directory", str(directory), "--out-directory", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main([*arguments, "--scoring-function", scoring, *settings])
    if code:
        raise SystemExit(code)


def image_scores(model: GridModel, images: Any) -> Any:
    """The highest score of each image's grid."""
    return model.score(images).max(axis=(1, 2))


def micro_differences(path: Path, model: GridModel, images: Any, count: int) -> list[str]:
    """How far TFLite Micro's cells are off those of LiteRT's reference kernels and of XNNPACK, in output steps.

    Reference kernels are what TFLite Micro has; XNNPACK rounds sums to int8 by other arithmetic.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    from tflite_micro.python.tflite_micro import runtime

    chosen = images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]
    micro = runtime.Interpreter.from_file(path, arena_size=2**26)
    litert = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    litert.allocate_tensors()
    differences: dict[str, list[Any]] = {"reference": [], "XNNPACK": []}
    for image in chosen:
        stored = model.input.encode(image[None])
        micro.set_input(stored, 0)
        micro.invoke()
        grid = micro.get_output(0).astype(int)
        litert.set_tensor(litert.get_input_details()[0]["index"], stored)
        litert.invoke()
        reference = litert.get_tensor(litert.get_output_details()[0]["index"])
        differences["reference"].append(np.abs(reference - grid))
        differences["XNNPACK"].append(np.abs(model.output.encode(model.score(image[None])) - grid))
    return [f"{np.max(steps)} ({100 * np.mean(np.asarray(steps) > 0):.1f} %)" for steps in differences.values()]


if __name__ == "__main__":
    main()
