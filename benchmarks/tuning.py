"""How well made defects choose features: `python -m benchmarks.tuning FOLDER...`.

For each folder in the MVTec AD layout (or the magnetic tiles' with split.json) and scoring function, every recipe that
self-tuning tries is judged by made defects, as a training does, and by the folder's real defects, fitted to all good
images. Features are computed once for all recipes. A table (Markdown) and the figures (JSON) go to `--out`: both
AUROCs, their rank correlation, and what the choice loses beside the best recipe in hindsight and gains over the most
robust one, for several margins; the margin is also chosen on the other folders (leave one out). A second run goes on
where the first one ended.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import data_sets
from fomoad.data import dataset, import_images
from fomoad.features.store import FeatureSource, StoredFeatures
from fomoad.metrics import image_metrics
from fomoad.settings import ScoringFunction, TrainSettings
from fomoad.training import fitters, recipes, tuning
from fomoad.training.train import open_directory
from fomoad.training.tuning import Trial, Widest

MARGINS = (0.0, 0.005, 0.01, 0.015, tuning.MARGIN, 0.03)
FUNCTIONS: tuple[ScoringFunction, ...] = ("patchcore", "gmm")


@dataclass(frozen=True)
class Row:
    """AUROCs of every recipe on one folder, the most robust recipe's first."""

    data: str
    scorer: str
    images: int
    defects: int
    made: list[float]
    real: list[float]

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation of made and real."""
        return float(spearmanr(self.made, self.real)[0])

    def gain(self, margin: float) -> float:
        """What the choice wins over the most robust recipe."""
        return self.real[tuning.choose(self.made, margin)] - self.real[0]

    def regret(self, margin: float) -> float:
        """What the choice loses beside the best recipe in hindsight."""
        return max(self.real) - self.real[tuning.choose(self.made, margin)]


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=data_sets.SIZE)
    parser.add_argument("--backbone", default="mobilenet-v2-0.35")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--out", type=Path, default=Path("build/tuning"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "tuning.json"
    rows = [Row(**row) for row in json.loads(file.read_text())] if file.is_file() else []
    for folder in arguments.folders:
        if all(any((row.data, row.scorer) == (folder.name, scorer) for row in rows) for scorer in FUNCTIONS):
            continue
        with tempfile.TemporaryDirectory() as work:
            directory = Path(work) / "data"
            if (folder / "split.json").is_file():
                data_sets.write_tiles(folder, directory, arguments.size)
            else:
                import_images.run(folder, directory, (arguments.size, arguments.size), scaling=data_sets.SCALING)
            for scorer in FUNCTIONS:
                settings = TrainSettings(
                    scoring_function=scorer,
                    backbone=arguments.backbone,
                    weights=arguments.weights,
                    weights_resolution=arguments.weights_resolution,
                )
                rows.append(measure(folder.name, directory, settings))
        file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        (arguments.out / "tuning.md").write_text(table(rows, arguments.size))
    print(table(rows, arguments.size))


def measure(name: str, directory: Path, settings: TrainSettings) -> Row:
    """Judge every recipe on one data directory by made and by real defects."""
    data = open_directory(settings, directory)
    settings = settings.model_copy(update={"backbone": data.weights.backbone})
    shape = data.images.shape
    tried = recipes.candidates(settings, shape)
    trial = Trial.of(settings, data, tried, None)
    assert trial is not None, "too few defects can be made"
    made = [trial.judge(recipe) for recipe in tried]
    widest = Widest.of(settings, data, tried)
    limit = settings.memory_limit * 2**20
    split = dataset.open_split(directory, "test", data_sets.SCALING)
    assert split.images is not None
    anomalous = data_sets.read_test(directory).anomalous
    every = FeatureSource(data.images, widest.extract, limit)
    tests = np.concatenate([widest.extract(images) for _, images in split.images.batches()])
    real = []
    for recipe in tried:
        source = widest.source(recipe, every, limit)
        scorer = fitters.fitter(recipes.with_recipe(settings, recipe), shape).scorer(source, data.split.ids)
        batches = StoredFeatures(widest.take(recipe, tests)).batches()
        scores = np.concatenate([scorer.score(features).max(axis=(1, 2)) for _, features in batches])
        real.append(_auroc(scores, anomalous))
    return Row(name, settings.scorer(), len(trial.sample_ids), len(trial.owners), made, real)


def table(rows: Sequence[Row], size: int) -> str:
    """The figures at images of this side as Markdown: for each scoring function the folders, then the margins."""
    lines: list[str] = []
    for scorer in FUNCTIONS:
        mine = [row for row in rows if row.scorer == scorer]
        if not mine:
            continue
        settings = TrainSettings(scoring_function=scorer)
        heads = [recipe.words(scorer) for recipe in recipes.candidates(settings, (size, size, 3))]
        lines += [f"| {scorer}: made, real AUROC | " + " | ".join([*heads, "correlation", "regret", "gain"]) + " |"]
        lines.append("|" + " --- |" * (len(heads) + 4))
        for row in mine:
            figures = [f"{made:.3f}, {real:.3f}" for made, real in zip(row.made, row.real, strict=True)]
            ends = [f"{row.correlation:.2f}", f"{row.regret(tuning.MARGIN):.3f}", f"{row.gain(tuning.MARGIN):+.3f}"]
            lines.append("| " + " | ".join([row.data, *figures, *ends]) + " |")
        means = [
            f"{np.mean([row.made[each] for row in mine]):.3f}, {np.mean([row.real[each] for row in mine]):.3f}"
            for each in range(len(heads))
        ]
        ends = [f"{np.mean([row.correlation for row in mine]):.2f}"]
        ends += [f"{np.mean([row.regret(tuning.MARGIN) for row in mine]):.3f}"]
        ends += [f"{np.mean([row.gain(tuning.MARGIN) for row in mine]):+.3f}"]
        lines += ["| " + " | ".join(["mean", *means, *ends]) + " |", ""]
        lines += ["| margin | " + " | ".join(f"{margin:g}" for margin in MARGINS) + " | chosen on the other folders |"]
        lines.append("|" + " --- |" * (len(MARGINS) + 2))
        gains = np.array([[row.gain(margin) for margin in MARGINS] for row in mine])
        shown = [f"{gain:+.4f}" for gain in gains.mean(axis=0)]
        lines += ["| gain over the most robust | " + " | ".join([*shown, f"{_left_out(gains):+.4f}"]) + " |", ""]
    return "\n".join(lines)


def _left_out(gains: NDArray[np.float64]) -> float:
    """The mean gain (folders, margins) where each folder's margin is the best on all others, of equals the largest."""
    if len(gains) < 2:
        return float("nan")
    total = 0.0
    for number, own in enumerate(gains):
        others = np.delete(gains, number, axis=0).mean(axis=0)
        total += float(own[len(others) - 1 - int(np.argmax(others[::-1]))])
    return total / len(gains)


def _auroc(scores: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> float:
    found = image_metrics.auroc(image_metrics.operating_points(scores, anomalous))
    assert found is not None, "the test images are all good, or all defective"
    return found


if __name__ == "__main__":
    main()
