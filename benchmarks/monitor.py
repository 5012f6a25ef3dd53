"""What `fomoad monitor` promises, and how soon it finds a change: `python -m benchmarks.monitor --mvtec DIR ...`.

For each data set and scoring function, the held-out scores of the training images and the scores of the good test
images, as they are and changed on purpose. Then streams are simulated by drawing from them:

- unchanged: reference and stream are drawn from the same scores. How many of the streams ever raise an alarm?
- changed: 200 good images, then changed ones, or with `--variety` images of a group that no training image was of, such
  as a new material. How many images until the alarm (median)? Beside it, a chart of the mean of the last 20 scores,
  whose limit is the one that as many unchanged streams raise an alarm at: the most that such a chart can do, for nobody
  knows that limit.

Scores are kept in `--scores`, so that a second run only simulates.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.data_sets import SCALING, SIZE, Varieties, read_test, write_tiles
from benchmarks.thresholds import fit_rows, in_batches
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset, import_images
from fomoad.data.samples import generate
from fomoad.features.extractor import extractor
from fomoad.maintenance import martingale, rate
from fomoad.maintenance.martingale import Drift, Stakes
from fomoad.maintenance.reference import Reference
from fomoad.maintenance.watch import BOUND_SHARE, DRIFT_SHARE, SETTLING, drift_log_capital
from fomoad.settings import TrainSettings
from fomoad.training.models import build_features

Array = NDArray[np.float32]
Scores = dict[str, NDArray[np.float64]]

CALM = 200
AFTER = 1500
WINDOW = 20
"""Scores that the chart's mean is taken over."""
CHANGES: dict[str, Callable[[Array], Array]] = {
    "darker by 10 %": lambda images: images * 0.9,
    "darker by 20 %": lambda images: images * 0.8,
    "much darker": lambda images: images * 0.8 - 0.2,
    "blur of 1 pixel": lambda images: ndimage.gaussian_filter(images, (0, 1, 1, 0)),
    "turned by 5 degrees": lambda images: ndimage.rotate(images, 5, (1, 2), reshape=False, order=1, mode="nearest"),
}
"""Of images scaled 0..1."""
NEW_VARIETY = "new material"


@dataclass(frozen=True)
class Found:
    """For each stream the image, from 1, of its alarm for drift and for the rate of flagged images; 0 for none."""

    drift: NDArray[np.int64]
    rate: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """The first alarm of either kind."""
        never = np.iinfo(np.int64).max
        first = np.minimum(np.where(self.drift, self.drift, never), np.where(self.rate, self.rate, never))
        return np.where(first == never, 0, first)


def main() -> None:
    """Parse the arguments, score what is not scored yet, simulate, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mvtec", type=Path, nargs="*", default=[], help="folders in the MVTec AD layout")
    parser.add_argument("--tiles", type=Path, help="the magnetic tiles' folder")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--weights-resolution", type=int, default=96)
    parser.add_argument("--variety", action="store_true", help="leave a group out of the training, and let it appear")
    parser.add_argument("--scores", type=Path, default=Path("monitor-scores"))
    parser.add_argument("--scoring", nargs="+", default=["gmm", "patchcore"])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--false-alarm", type=float, default=0.001)
    arguments = parser.parse_args()
    arguments.scores.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    print("| set | scorer | held-out scores | ever an alarm: drift | rate | chart, mean + 4 deviations |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, write in data_sets(arguments.tiles, arguments.mvtec):
        for scoring in arguments.scoring:
            path = arguments.scores / f"{name}-{scoring}{'-variety' if arguments.variety else ''}.npz"
            if not path.exists():
                with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                    write(Path(folder) / "data")
                    np.savez(path, **_scores(Path(folder) / "data", scoring, arguments))
            with np.load(path) as loaded:
                scores = {key: loaded[key].astype(np.float64) for key in loaded.files}
            rows += _measure(name, scoring, scores, arguments)
    print("\n| set | scorer | change | found | images until the alarm | found by chart | images |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))


def simulate(references: list[Reference], streams: NDArray[np.float64], false_alarm: float, seed: int) -> Found:
    """Watch streams (S, T), each with its reference, as fomoad.maintenance.watch does, all at once."""
    count, length = streams.shape
    random = np.random.default_rng(seed)
    lots = random.random((count, length))
    gaps = references[0].gaps
    assert all(np.array_equal(reference.gaps, gaps) for reference in references)
    training, own = Drift.start(gaps, martingale.HIGHER, count), None
    stakes = Stakes.none(count, len(rate.FACTORS))
    held_out = len(references[0].scores) + references[0].reaching
    allowed = rate.highest_rate(held_out, references[0].reaching, BOUND_SHARE * false_alarm)
    thresholds = np.array([reference.threshold for reference in references])
    passed = np.stack([reference.bins(row, lot) for reference, row, lot in zip(references, streams, lots, strict=True)])
    ours, settled = _own_bins(references, streams, lots)
    own = Drift.start(np.ones(SETTLING + 1, np.int64) if ours is None else ours[1], martingale.ALL, count)
    limit = -np.log(DRIFT_SHARE * false_alarm), -np.log((1 - DRIFT_SHARE - BOUND_SHARE) * false_alarm)
    alarms = np.zeros((2, count), np.int64)
    every = np.ones(count, bool)
    for image in range(length):
        flagged, number = streams[:, image] >= thresholds, np.full(count, image + 1)
        training.take(passed[:, image], number, ~flagged)
        if ours is not None:
            own.take(ours[0][:, image], number, ~flagged & (image > settled))
        if allowed < 1:
            rate.take(stakes, flagged, allowed, number, every)
        for kind, capital in enumerate((drift_log_capital(training, own), stakes.log_capital())):
            alarms[kind] = np.where((alarms[kind] == 0) & (capital >= limit[kind]), image + 1, alarms[kind])
    return Found(alarms[0], alarms[1])


def _own_bins(
    references: list[Reference], streams: NDArray[np.float64], lots: NDArray[np.float64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]] | None, NDArray[np.int64]]:
    """The bins (S, T) by each stream's own first passed scores with their gaps, and the last image of those (S,)."""
    bins, settled, gaps = np.zeros(streams.shape, np.int64), np.full(len(streams), streams.shape[1]), None
    for row, (reference, scores) in enumerate(zip(references, streams, strict=True)):
        where = np.flatnonzero(scores < reference.threshold)
        if len(where) > SETTLING:
            own = Reference.of(scores[where[:SETTLING]], reference.threshold)
            bins[row], settled[row], gaps = own.bins(scores, lots[row]), where[SETTLING - 1], own.gaps
    return (None if gaps is None else (bins, gaps)), settled


def _measure(name: str, scoring: str, scores: Scores, arguments: argparse.Namespace) -> list[str]:
    """Simulate one set and scoring function: prints its row of the first table, returns those of the second."""
    random = np.random.default_rng(1)
    held_out, streams = scores["held_out"], arguments.streams
    references = []
    for _ in range(streams):
        drawn = random.choice(held_out, len(held_out))
        references.append(_reference(drawn))
    unchanged = random.choice(held_out, (streams, arguments.images))
    found = simulate(references, unchanged, arguments.false_alarm, 2)
    plain = held_out.mean() + 4 * held_out.std() / np.sqrt(WINDOW)
    charted = (_chart(unchanged) >= plain).any(axis=1).mean()
    print(
        f"| {name} | {scoring} | {len(held_out)} | {(found.drift > 0).mean():.1%} | {(found.rate > 0).mean():.1%} | "
        f"{charted:.1%} |",
        flush=True,
    )
    rows = []
    few = max(1, streams // 5)
    before = random.choice(scores["good"], (few, CALM))
    lengths = random.choice(scores["good"], (streams, CALM + AFTER))
    limit = np.quantile(_chart(lengths).max(axis=1), 1 - arguments.false_alarm, method="higher")
    for change in (key for key in scores if key not in ("held_out", "good")):
        after = random.choice(scores[change], (few, AFTER))
        stream = np.concatenate([before, after], axis=1)
        first = simulate([_reference(held_out)] * few, stream, arguments.false_alarm, 3).first
        over = _chart(stream)[:, CALM:] >= limit
        by_chart = np.where(over.any(axis=1), CALM + 1 + over.argmax(axis=1), 0)
        rows.append(f"| {name} | {scoring} | {change} | {_delay(first)} | {_delay(by_chart)} |")
    return rows


def _reference(held_out: NDArray[np.float64]) -> Reference:
    """By the rule max, so that exactly the highest score reaches the threshold: all streams have equal bins."""
    ordered = np.sort(held_out)
    highest = ordered[-1] if ordered[-1] > ordered[-2] else np.nextafter(ordered[-1], np.inf)
    scores = ordered[:-1]
    return Reference(scores, float(highest), 1, Reference.of(scores, np.inf).edge_ranks)


def _chart(streams: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the last WINDOW scores, flagged ones too: (S, T - WINDOW + 1)."""
    sums = np.cumsum(np.pad(streams, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, WINDOW:] - sums[:, :-WINDOW]) / WINDOW
    return np.concatenate([np.repeat(means[:, :1], WINDOW - 1, axis=1), means], axis=1)


def _delay(alarms: NDArray[np.int64]) -> str:
    """Share of streams with an alarm after the change, and its median delay in images."""
    late = alarms[alarms > CALM] - CALM
    early = ((alarms > 0) & (alarms <= CALM)).mean()
    note = f" ({early:.0%} before the change)" if early else ""
    return f"{len(late) / len(alarms):.0%}{note} | {np.median(late):.0f}" if len(late) else f"0%{note} | "


def _scores(directory: Path, scoring: str, arguments: argparse.Namespace) -> Scores:
    """Held-out scores of the training images, and scores of the good test images, as they are and changed."""
    weights, resolution = arguments.weights, arguments.weights_resolution
    settings = TrainSettings(
        scoring_function=scoring, weights=weights, weights_resolution=resolution, image_input_scaling=SCALING
    )
    split = dataset.open_split(directory, "train", SCALING)
    images, samples = split.images, np.array(split.ids)
    assert images is not None
    found = find_weights(settings.backbone, weights, settings.weights_resolution, settings.target_device)
    extract = extractor(build_features(settings, images, found))
    train = images.rows(slice(0, len(images))).astype(np.float32)
    test = read_test(directory)
    good = test.images[~test.anomalous]
    if arguments.variety:
        varieties = Varieties.of(train)
        left_out = varieties.members(train, 0)
        changed = {NEW_VARIETY: np.concatenate([train[left_out], good[varieties.members(good, 0)]])}
        train, samples, good = train[~left_out], samples[~left_out], good[~varieties.members(good, 0)]
    else:
        changed = {name: change(good).astype(np.float32) for name, change in CHANGES.items()}

    fit = fit_rows(settings, in_batches(extract, train), samples)

    def score(batch: Array) -> NDArray[np.float64]:
        return fit.scorer.score(in_batches(extract, batch)).max(axis=(1, 2)).astype(np.float64)

    scores = {name: score(batch) for name, batch in changed.items()}
    return {"held_out": fit.held_out_scores.astype(np.float64), "good": score(good), **scores}


def data_sets(tiles: Path | None, mvtec: list[Path]) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each data set's name, and what writes it into a data directory."""
    for folder in mvtec:
        yield folder.name, lambda out, folder=folder: import_images.run(folder, out, (SIZE, SIZE), scaling=SCALING)
    if tiles:
        yield "tiles", lambda out: write_tiles(tiles, out)
    if not tiles and not mvtec:
        yield "sample", lambda out: generate.run(out, test_normal=400, test_anomaly=2, image_input_scaling=SCALING)


if __name__ == "__main__":
    main()
