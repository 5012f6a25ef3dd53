"""What a search costs and finds: `python -m benchmarks.search OUT PHOTOS [--tiles] [--separate 6] [ARGUMENT...]`.

Runs `fomoad search PHOTOS` with the further arguments into OUT, or goes on with what lies there, and prints

- the processor time of the search, and of `--separate` runs of `fomoad train`, spread over the settings and scaled up
  to all of them;
- for each `--budget FLASH,RAM` (bytes): the best candidate, the one that made defects alone would have chosen, and the
  training with default settings (96 pixels), each as an int8 file on the test part, which nothing was chosen on.

`--tiles`: PHOTOS is the folder of the magnetic tiles with split.json, which is copied into a layout that fomoad knows.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fomoad.commands import search as arguments_of_search
from fomoad.search import command, worker
from fomoad.search.choice import LEAST_BY_MADE, choose
from fomoad.search.page import Entry, findings
from fomoad.search.run import Search
from fomoad.search.space import Candidate
from fomoad.settings import TrainSettings

DEFAULT_SIDE = 96
TILE_GROUPS = r"tile([^_]*)_"


def main() -> None:
    """Parse the arguments, search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--separate", type=int, default=0)
    parser.add_argument("--budget", action="append", default=[], metavar="FLASH,RAM")
    own, given = parser.parse_known_args()
    photos = own.photos
    if own.tiles:
        photos = lay_out_tiles(own.photos, own.out / "photos")
        given += ["--group-by", TILE_GROUPS]
    given += ["--out-directory", str(own.out / "search")]
    searching, wall = measured(["search", str(photos), *given])
    results = json.loads((own.out / "search" / "results.json").read_text())
    print(f"search: {len(results['entries'])} settings, {searching:.0f} s of processor time, {wall:.0f} s")
    search = opened(photos, given)
    if own.separate:
        compare_times(search, results["entries"], own.separate, searching)
    for budget in own.budget:
        flash, ram = map(int, budget.split(","))
        compare_choices(search, results, flash, ram)


def measured(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds of processor time and of the clock that a command of fomoad takes, with its processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "fomoad", *arguments], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - start


def opened(photos: Path, given: Sequence[str]) -> Search:
    """The search of these arguments."""
    parser = argparse.ArgumentParser()
    arguments_of_search.declare(parser)
    return command.build(parser.parse_args([str(photos), *given]))


def compare_times(search: Search, entries: list[dict[str, Any]], count: int, searching: float) -> None:
    """Train some settings in runs of their own, spread evenly over the search's order."""
    photos = search.conditions().photos
    some = [entries[(2 * number + 1) * len(entries) // (2 * count)]["number"] for number in range(count)]
    times = []
    for number in some:
        candidate = search.space.candidates[number]
        data = worker.opened(photos, candidate.side).directory
        given = candidate.settings.model_dump(exclude_defaults=True)
        arguments = [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        with tempfile.TemporaryDirectory() as out:
            seconds, wall = measured(["train", "--data-directory", str(data), "--out-directory", out, *arguments])
        print(f"  train {candidate.side} {given}: {seconds:.0f} s of processor time, {wall:.0f} s", flush=True)
        times.append(seconds)
    mean = sum(times) / len(times)
    total = mean * len(entries)
    print(f"{len(entries)} separate trainings: {total:.0f} s ({mean:.0f} s each)")
    print(f"the search takes {searching / total:.2f} of that")


def compare_choices(search: Search, results: dict[str, Any], flash: int, ram: int) -> None:
    """Print what three choices under a budget find on the test part."""
    every = results["entries"]
    kept = [each for each in every if each["values"] and each["values"][1] <= flash and each["values"][2] <= ram]
    print(f"under {flash // 1024} KB of flash and {ram // 1024} KB of RAM: {len(kept)} of {len(every)} settings")
    if not kept:
        return
    metric = results["metric"]
    entries = [Entry.model_validate(each) for each in kept]
    of = {part: findings(entries, part, metric) for part in ("made", "selection")}
    order = results["order"]
    by_made, chosen = (
        choose(of["made"], order, LEAST_BY_MADE).best,
        choose(of["selection"], order, results["least"]).best,
    )
    print(f"  made defects choose number {by_made}, labelled ones number {chosen}")
    candidates = search.space.candidates
    given = {"weights_resolution": candidates[0].settings.weights_resolution}
    default = Candidate(DEFAULT_SIDE, TrainSettings(**given))
    _show("the search's choice", search, candidates[chosen], chosen)
    _show("made defects' choice", search, candidates[by_made], by_made)
    _show("the default", search, default, "default")


def _show(what: str, search: Search, candidate: Candidate, number: int | str) -> None:
    conditions = search.conditions()
    task = worker.Task(conditions, 0, candidate, search.out.absolute() / "trials" / str(number))
    detection, flash, ram, milliseconds = worker.trained(task)
    parts = worker.opened(conditions.photos, candidate.side)
    tested = worker.figures(task.folder, parts, "test")
    settings = {k: v for k, v in candidate.settings.model_dump(exclude_defaults=True).items() if k != "tune"}
    print(
        f"  {what}: {candidate.side} {settings}: AUROC {detection:.3f} (selection), {tested.auroc:.3f} (test), recall "
        f"{tested.recall:.2f}, flash {flash / 1024:.0f} KB, RAM {ram / 1024:.0f} KB, {milliseconds:.0f} ms",
        flush=True,
    )


def lay_out_tiles(tiles: Path, folder: Path) -> Path:
    """The magnetic tiles, divided as their split.json says, in the layout of MVTec AD. Names begin with the tile's."""
    split = json.loads((tiles / "split.json").read_text())
    for half in ("train", "test"):
        for entry in split[half]:
            is_anomaly = entry.get("label") == "anomaly"
            name = f"tile{entry['tile']}_{Path(entry['image']).stem}"
            _copy(tiles / entry["image"], folder / half / ("defect" if is_anomaly else "good") / f"{name}.jpg")
            if is_anomaly:
                _copy(tiles / entry["mask"], folder / "ground_truth" / "defect" / f"{name}_mask.png")
    return folder


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(source, target)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
