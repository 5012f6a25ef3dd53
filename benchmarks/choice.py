"""Which rule chooses best among a search's candidates: `python -m benchmarks.choice OUT FOLDER... [--size 64,96]`.

Every candidate of a search is fitted to the good photos of each folder in the MVTec AD layout (or the magnetic tiles'
with split.json), and scores all labelled test photos and defects made on the good ones. Scores are kept in OUT, and a
second run goes on where the first one ended. Then test photos are divided at random, many times: candidates are chosen
by one part, as by a search, and what the choice finds in the other part is printed for several rules, on the mean of
divisions, and in the worst tenth of them beside the most promising candidate; and what a third of the candidates find,
sampled in several ways. `--share` fits to a part of the training photos, and prints how far the order of candidates is
that of all photos.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.data_sets import SCALING
from benchmarks.search import TILE_GROUPS, lay_out_tiles
from fomoad.data import dataset
from fomoad.data.label_names import anomalous_flags, kept_label_names
from fomoad.data.npy_file import ChosenRows
from fomoad.data.pixel_images import StoredPixels
from fomoad.data.scaling import from_pixels
from fomoad.defects.make import made_set
from fomoad.metrics import image_metrics
from fomoad.search import space
from fomoad.search.cache import Cache
from fomoad.search.choice import GROUPS, LEAST_BY_MADE, SURE, Finding, choose
from fomoad.search.front import TIE
from fomoad.search.judge import Budget, Judge
from fomoad.search.parts import MADE_PER_PHOTO, MOST_MADE, Part, Parts, Photos, dealt, digest
from fomoad.search.sampler import Tpe
from fomoad.search.space import Space

SEED = 1
CHOSEN_ON = (2, 5)
"""Candidates are chosen on one of so many parts, and tested on the others."""
DIVISIONS = 50
SEEDS = 5
ERRORS = (0.0, 0.5, 1.0, 2.0, 3.0)
"""Standard errors that a lead must exceed."""
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """Scores of candidates (C, N) of the test photos, which are `anomalous` and show samples `ids`, of one side; and
    scores (C, M) of defects made on the photos in rows `made_on`. `seconds` (C,) that fitting and scoring took."""

    real: Scores
    made: Scores
    seconds: NDArray[np.float64]
    anomalous: NDArray[np.bool_]
    ids: NDArray[np.str_]
    made_on: NDArray[np.int64]


def main() -> None:
    """Measure what is missing, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--size", default="64,96")
    parser.add_argument("--share", type=float, default=1.0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sides = space.parse_sides(arguments.size)
    found = {
        folder.name: [measured(folder, side, arguments.share, arguments.out) for side in sides]
        for folder in arguments.folders
    }
    if arguments.share == 1:
        for parts in CHOSEN_ON:
            compare_rules(found, candidates(*sides), parts)
        compare_samplers(found, candidates(*sides))
    else:
        whole = {
            folder.name: [measured(folder, side, 1, arguments.out) for side in sides] for folder in arguments.folders
        }
        compare_orders(found, whole)


def candidates(*sides: int) -> Space:
    """What is chosen from."""
    ratios = ("0.01", "0.05", "0.1")
    fixed = {"backbone": ("mobilenet-v2-0.35",), "weights_resolution": ("128",)}
    return space.space(sides, {**fixed, "sampling_ratio": ratios})


def measured(folder: Path, side: int, share: float, out: Path) -> Measured:
    """The scores of all candidates of one side, fitted to a share of the training photos."""
    file = out / f"{folder.name}-{side}-{share:g}.npz"
    if not file.is_file():
        print(f"measuring {file.stem}", flush=True)
        found = measure(folder, side, share, out)
        np.savez(file, **vars(found))
    with np.load(file) as kept:
        return Measured(**{name: kept[name] for name in Measured.__dataclass_fields__})


def measure(folder: Path, side: int, share: float, out: Path) -> Measured:
    """Fit and score all candidates of one side."""
    work = out / "work" / folder.name
    is_tiles = (folder / "split.json").is_file()
    source = lay_out_tiles(folder, out / "photos" / folder.name) if is_tiles else folder
    photos = Photos(source, digest(source), SCALING, TILE_GROUPS if is_tiles else None, SEED, work)
    directory = photos.parts(side).directory
    train, test = (dataset.open_split(directory, name, SCALING) for name in ("train", "test"))
    assert train.images is not None
    assert test.images is not None
    anomalous = np.array(anomalous_flags(test.labels, kept_label_names(directory)), bool)
    good = StoredPixels(test.images, np.flatnonzero(~anomalous))
    defects = list(made_set(good, min(max(CHOSEN_ON) * MOST_MADE, MADE_PER_PHOTO * len(good)), SEED))
    pixels = from_pixels(np.stack([defect.pixels for defect in defects]), SCALING)
    real = Part(test.images.rows(slice(0, len(test))), anomalous, None, np.zeros(len(test), np.int64))
    made = Part(pixels, np.ones(len(defects), bool), None, np.zeros(len(defects), np.int64))
    order = np.random.default_rng(SEED).permutation(np.unique(train.ids))
    kept = np.flatnonzero(np.isin(train.ids, order[: round(share * len(order))]))
    images = replace(train.images, array=ChosenRows(train.images.array, kept))
    parts = Parts(directory, images, [train.ids[row] for row in kept], real, real, made)
    judge = Judge(parts, Cache(work / "features", 2**32), f"{photos.key} {share}", "auroc", Budget())
    scores: dict[str, list[Scores]] = {"selection": [], "made": []}
    seconds = []
    for candidate in candidates(side).candidates:
        start = time.process_time()
        for name, maps in judge.maps(candidate.settings).items():
            scores[name].append(maps.max(axis=(1, 2)))
        seconds.append(time.process_time() - start)
    made_on = np.flatnonzero(~anomalous)[[defect.image for defect in defects]]
    every = (np.stack(scores[name]) for name in ("selection", "made"))
    return Measured(*every, np.array(seconds), anomalous, np.array(test.ids), made_on)


def compare_rules(found: dict[str, list[Measured]], choices: Space, parts: int) -> None:
    """Print a table: what each rule finds in the photos that it did not choose on; and how often made defects choose
    the same as labelled ones, by the figures alone and by the search's rules, and what that costs."""
    gains, same = {}, {}
    for name, of_sides in found.items():
        gains[name], same[name] = divide(of_sides, choices, parts)
    first = next(iter(gains.values()))
    print(f"\nchosen on one part of {parts}, AUROC on the others")
    print(f"| rule | {' | '.join(gains)} | mean | worst tenth |\n|{' --- |' * (len(gains) + 3)}")
    for rule in first:
        means = [np.mean(of_rules[rule]) for of_rules in gains.values()]
        worst = [np.quantile(np.subtract(of[rule], of["the most promising"]), 0.1) for of in gains.values()]
        figures = " | ".join(f"{mean:.3f}" for mean in means)
        print(f"| {rule} | {figures} | {np.mean(means):.4f} | {np.mean(worst):+.4f} |")
    for name, shares in same.items():
        print(f"{name}: made defects choose the same in {shares[0]:.0%} of divisions, by the rules in {shares[1]:.0%}")


def divide(of_sides: list[Measured], choices: Space, parts: int) -> tuple[dict[str, list[float]], list[float]]:
    """What the choice of each rule finds in the photos that it was not made on, for many divisions of the photos.

    And in which share of them made defects choose the same as labelled ones: by the figures alone, by the rules.
    """
    real, anomalous = np.concatenate([each.real for each in of_sides]), of_sides[0].anomalous
    order = choices.by_promise()
    found: dict[str, list[float]] = {}
    same = np.zeros(2)
    for seed in range(DIVISIONS):
        division = dealt(list(of_sides[0].ids), seed, anomalous, parts)
        kept, tested = np.flatnonzero(division == 0), np.flatnonzero(division != 0)
        groups = dealt(list(of_sides[0].ids[kept]), seed, anomalous[kept], GROUPS)
        figures, made = aurocs(real[:, kept], anomalous[kept]), made_findings(of_sides, kept, groups)
        most, promising = max(order, key=lambda each: figures[each]), order[0]
        rules = {"the cheapest of those within 0.002": int(np.flatnonzero(figures > figures[most] - TIE)[0])}
        lead, error = finding(real[most, kept], anomalous[kept], groups).lead(
            finding(real[promising, kept], anomalous[kept], groups)
        )
        for sure in ERRORS:
            name = f"the one that finds most, if it leads by {sure:g} errors" if sure else "the one that finds most"
            rules[name] = most if lead > sure * error or not sure else promising
        rules["the one that finds most made defects"] = max(order, key=lambda each: made[each].figure)
        chosen_by_made = choose(made, order, LEAST_BY_MADE).best
        rules[f"the same, if it leads by {LEAST_BY_MADE} and {SURE:g} errors"] = chosen_by_made
        rules["the most promising"] = promising
        by_figures = rules["the one that finds most made defects"] == most
        same += by_figures, chosen_by_made == (most if lead > SURE * error else promising)
        reached = aurocs(real[:, tested], anomalous[tested])
        for rule, chosen in {**rules, "the best in hindsight": int(reached.argmax())}.items():
            found.setdefault(rule, []).append(float(reached[chosen]))
    return found, list(same / DIVISIONS)


def aurocs(scores: Scores, anomalous: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUROCs (C,) of scores (C, N)."""
    return np.array([auroc(each, anomalous) for each in scores])


def auroc(scores: Scores, anomalous: NDArray[np.bool_]) -> float:
    """The AUROC of scores (N,), 0 without photos of both kinds."""
    return image_metrics.auroc(image_metrics.operating_points(scores, anomalous)) or 0.0


def made_findings(of_sides: list[Measured], kept: NDArray[np.int64], groups: NDArray[np.int64]) -> dict[int, Finding]:
    """What candidates find of defects made on the good photos in these rows, which are in these groups."""
    found: list[Finding] = []
    for each in of_sides:
        is_good = ~each.anomalous[kept]
        group_of = dict(zip(kept[is_good], groups[is_good], strict=True))
        made = np.flatnonzero(np.isin(each.made_on, kept[is_good]))[:MOST_MADE]
        scores = np.concatenate([each.real[:, kept[is_good]], each.made[:, made]], axis=1)
        rows = np.concatenate([kept[is_good], each.made_on[made]])
        anomalous = np.arange(scores.shape[1]) >= is_good.sum()
        found += [finding(one, anomalous, np.array([group_of[row] for row in rows])) for one in scores]
    return dict(enumerate(found))


def finding(scores: Scores, anomalous: NDArray[np.bool_], groups: NDArray[np.int64]) -> Finding:
    """What scores (n,) find, as a search judges it."""
    kept = (groups != group for group in range(GROUPS))
    return Finding(auroc(scores, anomalous), [auroc(scores[rows], anomalous[rows]) for rows in kept])


def compare_orders(few: dict[str, list[Measured]], whole: dict[str, list[Measured]]) -> None:
    """Print how far candidates fitted to few photos stand in the order of those fitted to all."""
    print(f"| set | rank correlation | best kept in the first third | its loss | time of all |\n|{' --- |' * 5}")
    for name in few:
        one, all_photos = (joined(each[name]) for each in (few, whole))
        third = np.argsort(-one, kind="stable")[: len(one) // 3]
        loss = all_photos.max() - all_photos[third].max()
        times = [sum(each.seconds.sum() for each in of[name]) for of in (few, whole)]
        correlation = spearmanr(one, all_photos).statistic
        print(
            f"| {name} | {correlation:.2f} | {'yes' if loss == 0 else 'no'} | {loss:.4f} | {times[0] / times[1]:.2f} |"
        )


def compare_samplers(found: dict[str, list[Measured]], choices: Space) -> None:
    """Print the most that a third of the candidates find, chosen by the estimator, at random or in their order."""
    read = [choices.read(candidate) for candidate in choices.candidates]
    count = len(read) // 3
    order = choices.by_promise()
    first = [next(each for each in order if choices.candidates[each].side == side) for side in choices.axes["side"]]
    print(f"\nthe most that {count} of {len(read)} find, AUROC on all test photos; means of {SEEDS} seeds")
    print(f"| set | estimator | at random | the first | all |\n|{' --- |' * 5}")
    for name, of_sides in found.items():
        figures = joined(of_sides)
        reached: dict[str, list[float]] = {"estimator": [], "random": []}
        for seed in range(SEEDS):
            seen: dict[int, float] = {}
            sampler = Tpe(read, first, count, 1000 * seed)
            while following := sampler.following(seen, seen):
                seen |= {position: float(figures[position]) for position in following}
            drawn = np.random.default_rng(seed).permutation(len(read))[: count - len(first)]
            reached["estimator"].append(max(seen.values()))
            reached["random"].append(figures[[*first, *drawn]].max())
        means = " | ".join(f"{np.mean(each):.4f}" for each in reached.values())
        print(f"| {name} | {means} | {figures[:count].max():.4f} | {figures.max():.4f} |", flush=True)


def joined(of_sides: Sequence[Measured]) -> NDArray[np.float64]:
    """AUROCs of all candidates on all test photos."""
    return np.concatenate([aurocs(each.real, each.anomalous) for each in of_sides])


if __name__ == "__main__":
    main()
