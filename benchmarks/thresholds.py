"""What thresholds promise, and what new good images show: `python -m benchmarks.thresholds DATA_DIRECTORY...`.

`--what promise`: many times over, some samples' good images (from both splits) train a scorer, the others are new to
it; printed is the share of those that each threshold flags, in float32 and on int8 features. `--what few`: the same
with so many training images as `--train` says, and AUROC and recall on the test split. `--what test`: the training
split trains, and the test split's recall and false alarms at each threshold are printed, then what a threshold chosen
from the test images promises by cross-validation and in hindsight. Features are kept in `--cache`, where given.
"""

import argparse
import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.data.label_names import anomalous_flags
from fomoad.data.scaling import DEFAULT_SCALING
from fomoad.evaluation import objectives
from fomoad.features.extractor import extractor
from fomoad.features.store import Extract, FeatureSource, StoredFeatures
from fomoad.metadata import Threshold
from fomoad.metrics.image_metrics import auroc, operating_points
from fomoad.scorers.scorer import Scorer
from fomoad.settings import TrainSettings
from fomoad.training import sampling
from fomoad.training.fit import Fit
from fomoad.training.fitters import fitter
from fomoad.training.int8 import STEPS_TO_THRESHOLD, round_network
from fomoad.training.models import build_features
from fomoad.training.thresholds import HeldOut, choose

FILES = ("float32", "int8")
SHAPE = (96, 96, 3)
"""What images are taken for: of other sizes, only the cells of maps would lie elsewhere, and no image's score."""
SHARE = 2 / 3
"""Of the samples, so many train in each split."""
OBJECTIVES = ("f1", "recall=0.9", "false-positive-rate=0.05")


@dataclass(frozen=True)
class Labelled:
    """Images of a data directory as features, float32 and int8 (n, rows, columns, D), with what is known of them."""

    features: tuple[np.ndarray, np.ndarray]
    samples: np.ndarray
    anomalous: np.ndarray
    training: np.ndarray

    def only(self, chosen: np.ndarray) -> "Labelled":
        """Some of the images, by number or flag."""
        float_features, int8_features = self.features
        return Labelled(
            (float_features[chosen], int8_features[chosen]),
            self.samples[chosen],
            self.anomalous[chosen],
            self.training[chosen],
        )


@dataclass(frozen=True)
class Scored:
    """A float32 or int8 scorer's thresholds, and the scores that it gives to other images."""

    threshold: Threshold
    scores: np.ndarray


def main() -> None:
    """Parse the arguments, and measure each data directory with each scoring function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories; those for few and test with labels")
    parser.add_argument("--what", choices=("promise", "few", "test"), default="promise")
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--train", type=int, nargs="+", default=[10, 20, 50, 100, 200], help="images, for few")
    parser.add_argument("--scoring", nargs="+", default=["gmm", "patchcore"])
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--image-input-scaling", default=DEFAULT_SCALING)
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    for scoring in arguments.scoring:
        settings = TrainSettings(
            scoring_function=scoring,
            weights=arguments.weights,
            weights_resolution=arguments.weights_resolution,
            image_input_scaling=arguments.image_input_scaling,
        )
        print({"promise": PROMISE_HEAD, "few": FEW_HEAD, "test": TEST_HEAD}[arguments.what])
        for directory in arguments.data:
            with contextlib.redirect_stdout(io.StringIO()):
                images = read(settings, directory, arguments.cache)
            if arguments.what == "promise":
                promise(f"{directory.name} {scoring}", settings, images, arguments.splits)
            elif arguments.what == "few":
                few(f"{directory.name} {scoring}", settings, images, arguments.train, arguments.splits)
            else:
                test(f"{directory.name} {scoring}", settings, images)


PROMISE_HEAD = (
    "| data | file | training images (samples) | rule | promised | flagged: mean | lowest, highest | "
    "at most the upper end of its 95 % interval |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)
FEW_HEAD = (
    "| data | training images | AUROC | false alarms at max | recall at max | samples |\n"
    "| --- | --- | --- | --- | --- | --- |"
)
TEST_HEAD = "| data | file | threshold | promised | false alarms | recall |\n| --- | --- | --- | --- | --- | --- |"


def promise(name: str, settings: TrainSettings, images: Labelled, splits: int) -> None:
    """Print what each rule promises and what share of new good images it flags."""
    good = images.only(~images.anomalous)
    found: dict[tuple[str, str], list[tuple[float, float, bool]]] = {}
    sizes = []
    for split in range(splits):
        samples = np.random.default_rng(split).permutation(np.unique(good.samples))
        trains = np.isin(good.samples, samples[: round(SHARE * len(samples))])
        sizes.append((trains.sum(), round(SHARE * len(samples))))
        new = good.only(~trains)
        for file, scored in score(settings, good.only(trains), new, split).items():
            for choice in scored.threshold.choices:
                if choice.threshold is None or choice.false_alarms_interval is None:
                    continue
                share = float((scored.scores >= choice.threshold).mean())
                inside = share <= choice.false_alarms_interval.high
                rule = "max" if choice.false_positive_rate is None else f"{choice.false_positive_rate:.0%}"
                found.setdefault((file, rule), []).append((share, choice.expected_false_alarms or 0.0, inside))
    size = f"{np.mean([a for a, _ in sizes]):.0f} ({np.mean([b for _, b in sizes]):.0f})"
    for (file, rule), values in found.items():
        shares, expected, inside = (np.array(column) for column in zip(*values, strict=True))
        print(
            f"| {name} | {file} | {size} | {rule} | {expected.mean():.1%} | {shares.mean():.1%} | "
            f"{shares.min():.1%}, {shares.max():.1%} | {inside.mean():.0%} |",  # type: ignore[attr-defined]
            flush=True,
        )


def few(name: str, settings: TrainSettings, images: Labelled, counts: list[int], draws: int) -> None:
    """Print what trainings on few images give, as means over the draws."""
    train, test = images.only(images.training), images.only(~images.training)
    for count in counts:
        rows = []
        for draw in range(draws):
            some = train.only(np.random.default_rng(draw).permutation(len(train.samples))[:count])
            scored = score(settings, some, test, draw, int8=False)["float32"]
            flagged = scored.scores >= scored.threshold.max_train
            area = auroc(operating_points(scored.scores, test.anomalous)) or 0.0
            rows.append((area, flagged[~test.anomalous].mean(), flagged[test.anomalous].mean(), len(set(some.samples))))
        area, alarms, recall, samples = np.mean(rows, axis=0)
        print(f"| {name} | {count} | {area:.3f} | {alarms:.1%} | {recall:.1%} | {samples:.0f} |", flush=True)


def test(name: str, settings: TrainSettings, images: Labelled) -> None:
    """Print false alarms and recall on the test split at the training's thresholds, then at those chosen from it."""
    train, new = images.only(images.training), images.only(~images.training)
    for file, scored in score(settings, train, new, settings.seed).items():

        def show(rule: str, promised: str, flagged: np.ndarray, file: str = file) -> None:
            alarms, recall = flagged[~new.anomalous].mean(), flagged[new.anomalous].mean()
            print(f"| {name} | {file} | {rule} | {promised} | {alarms:.1%} | {recall:.1%} |", flush=True)

        for choice in scored.threshold.choices:
            if choice.threshold is not None:
                rule = "max" if choice.false_positive_rate is None else f"{choice.false_positive_rate:.0%}"
                show(rule, f"{choice.expected_false_alarms or 0:.1%}", scored.scores >= choice.threshold)
        for text in OBJECTIVES:
            objective = objectives.parse(text)
            hindsight = scored.scores >= objectives.choose(scored.scores, new.anomalous, objective)
            ids = [str(sample) for sample in new.samples]
            honest = objectives.cross_validated(scored.scores, new.anomalous, ids, objective)
            show(f"calibrate {text}", "in hindsight", hindsight.astype(float))
            show(f"calibrate {text}", "cross-validated", honest)


def score(settings: TrainSettings, train: Labelled, new: Labelled, seed: int, int8: bool = True) -> dict[str, Scored]:
    """Fit as training does, on float32 and on int8 features; scores of int8 in steps, as the file puts them out."""
    settings = settings.model_copy(update={"seed": seed})
    with contextlib.redirect_stdout(io.StringIO()):
        fit = fit_rows(settings, train.features[0], train.samples)
        found = {"float32": _scored(settings, fit, new.features[0], None)}
        if int8:
            source = FeatureSource(StoredFeatures(train.features[1]), lambda rows: rows, 2**30)
            again = fitter(settings, SHAPE).refit(source, list(map(str, train.samples)), fit)
            found["int8"] = _scored(settings, again, new.features[1], STEPS_TO_THRESHOLD)
    return found


def _scored(settings: TrainSettings, fit: Fit, features: np.ndarray, steps: float | None) -> Scored:
    step = None if steps is None else float(fit.held_out_scores.max()) / steps
    held_out, scores = (_in_steps(each, step) for each in (fit.held_out_scores, _image_scores(fit.scorer, features)))
    method, rate = settings.threshold_method, settings.false_positive_rate
    scores_held_out = HeldOut(held_out, fit.samples, step)
    folds = sampling.fold_count(scores_held_out.sample_count)
    return Scored(choose(scores_held_out, method, rate, folds), scores)


def _in_steps(scores: np.ndarray, step: float | None) -> np.ndarray:
    return scores if step is None else step * np.minimum(np.floor(scores / step + 0.5), 255)


def _image_scores(scorer: Scorer, features: np.ndarray) -> np.ndarray:
    batches = np.array_split(features, -(-len(features) // 100))
    return np.concatenate([scorer.score(batch).max(axis=(1, 2)) for batch in batches])


def fit_rows(settings: TrainSettings, features: np.ndarray, samples: np.ndarray | None = None) -> Fit:
    """Fit a scorer to features as training does, each row a sample of its own where none are given."""
    source = FeatureSource(StoredFeatures(features), lambda rows: rows, 2**30)
    sample_ids = list(map(str, range(len(features)) if samples is None else samples))
    fit: Fit = fitter(settings, SHAPE).fit(source, sample_ids)
    return fit


def read(settings: TrainSettings, directory: Path, cache: Path | None) -> Labelled:
    """Both splits of a data directory as features."""
    splits = [dataset.open_split(directory, name, settings.image_input_scaling) for name in ("train", "test")]
    parts = [(split, split.images) for split in splits if split.images]
    known = [anomalous_flags(split.labels) for split, _ in parts]
    kept = [None if cache is None else cache / f"{directory.name}-{settings.scorer()}-{kind}.npy" for kind in FILES]
    if not all(path is not None and path.is_file() for path in kept):
        weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
        plain = build_features(settings, parts[0][1], weights)
        rounded, ranges = round_network(settings, parts[0][1], plain)
        computed = [_computed(extract, parts) for extract in (extractor(plain), extractor(rounded, ranges))]
        for path, features in zip(kept, computed, strict=True):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, features)
    else:
        computed = [np.load(path) for path in kept if path is not None]
    return Labelled(
        (computed[0], computed[1]),
        np.array([sample for split, _ in parts for sample in split.ids]),
        np.array([bool(flag) for flags in known for flag in flags]),
        np.arange(sum(len(images) for _, images in parts)) < len(parts[0][1]),
    )


def _computed(extract: Extract, parts: list[tuple[dataset.Split, dataset.Images]]) -> np.ndarray:
    return np.concatenate([extract(batch) for _, images in parts for _, batch in images.batches(50)])


def in_batches(extract: Extract, images: np.ndarray) -> np.ndarray:
    """The features (n, rows, columns, D) of images (n, height, width, channels), a hundred at a time."""
    return np.concatenate([extract(batch) for batch in np.array_split(images, -(-len(images) // 100))])


def features_of(settings: TrainSettings, directory: Path) -> np.ndarray:
    """The features (n, rows, columns, D) of a data directory's training images."""
    images = dataset.open_split(directory, "train", settings.image_input_scaling).images
    assert images is not None
    weights = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    extract = extractor(build_features(settings, images, weights))
    return np.concatenate([extract(batch) for _, batch in images.batches()])


if __name__ == "__main__":
    main()
