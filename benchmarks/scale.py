"""What an image costs in trainings of any size: `python -m benchmarks.scale --work FOLDER [--images N...]`.

For each number of images a data directory is made (crops of some hundred made photos, shifted, mirrored, darker or
brighter), a training runs on it as a user would start it, and the directory is removed. Printed are time, memory of
the largest process and the cost per image; a table, its JSON and a picture of it stay in the work folder. 200,000
images of 96 pixels take 22 GB there. Other arguments go to the training.

To see a training live within 4 GB, page cache included, run this in a control group:
`systemd-run --scope -p MemoryMax=4G python -m benchmarks.scale ...` or `docker run -m 4g ...`.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots, processes
from fomoad.data.samples.generate import DIFFICULTIES, NORMAL_NAME, photo

SIDE = 96
MARGIN = 16
"""Pixels by which photos are larger than what is cut from them."""
PHOTOS = 300
BLOCK = 500
IMAGES = (1_000, 5_000, 20_000, 200_000)
SCORING = ("gmm", "patchcore")


@dataclass(frozen=True)
class Run:
    """One training. Times in seconds, memory in bytes."""

    scoring: str
    images: int
    wall: float
    processor: float
    memory: int


def main() -> None:
    """Parse the arguments, run what has not been run yet, write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the images and the results")
    parser.add_argument("--images", type=int, nargs="*", default=IMAGES)
    parser.add_argument("--scoring", nargs="*", default=SCORING)
    parser.add_argument("--keep", action="store_true", help="leave the data directories for the next run")
    arguments, settings = parser.parse_known_args()
    results = arguments.work / "scale.json"
    runs = [Run(**run) for run in json.loads(results.read_text())] if results.is_file() else []
    for count in arguments.images:
        missing = [name for name in arguments.scoring if (name, count) not in {(r.scoring, r.images) for r in runs}]
        if not missing:
            continue
        data = arguments.work / f"data-{count}"
        if not (data / "done").is_file():
            write_images(data, count, arguments.work)
        for scoring in missing:
            runs.append(train(data, arguments.work / f"{scoring}-{count}", scoring, count, settings))
            results.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
        if not arguments.keep:
            shutil.rmtree(data)
    print(table(runs))
    draw(arguments.work / "scale.svg", runs)


def write_images(directory: Path, count: int, work: Path) -> None:
    """A data directory of `count` training images."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    photos = base_photos(work / "photos.npy")
    with (directory / "X_split_train.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, SIDE, SIDE, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in crops(photos, count):
            file.write(block.tobytes())
    np.save(directory / "X_split_test.npy", np.empty((0, SIDE, SIDE, 3), np.float32))
    (directory / "done").touch()


def base_photos(path: Path) -> NDArray[np.uint8]:
    """Photos (PHOTOS, SIDE + MARGIN, SIDE + MARGIN, 3) of good parts, made once."""
    if not path.is_file():
        level = DIFFICULTIES["medium"]
        size = SIDE + MARGIN
        photos = [photo(NORMAL_NAME, size, level, np.random.default_rng([1, index]))[0] for index in range(PHOTOS)]
        np.save(path, np.stack(photos))
    return np.load(path, allow_pickle=False)


def crops(photos: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.float32]]:
    """Blocks (n, SIDE, SIDE, 3), 0..1, of crops, together `count`; the first ones are the same for every count."""
    for start in range(0, count, BLOCK):
        random = np.random.default_rng([2, start])
        block = np.empty((min(BLOCK, count - start), SIDE, SIDE, 3), np.float32)
        for image in block:
            y, x = random.integers(MARGIN + 1, size=2)
            cut = photos[random.integers(len(photos)), y : y + SIDE, x : x + SIDE]
            np.multiply(cut[:, :: random.choice((-1, 1))], random.uniform(0.85, 1) / 255, out=image)
        yield block


def train(data: Path, out: Path, scoring: str, count: int, settings: list[str]) -> Run:
    """A training as a process of its own; its log goes beside the models."""
    command = [sys.executable, "-m", "fomoad", "train", "--data-directory", str(data), "--out-directory", str(out)]
    usage = processes.run([*command, f"--scoring-function={scoring}", *settings], out.with_suffix(".log"))
    return Run(scoring, count, usage.wall, usage.processor, usage.memory)


def table(runs: list[Run]) -> str:
    """All runs as Markdown."""
    lines = ["| scoring function | images | wall | processor | per image: wall | processor | peak memory |"]
    lines.append("| --- |" + " ---: |" * 6)
    for run in sorted(runs, key=lambda run: (run.scoring, run.images)):
        each = [f"{1000 * seconds / run.images:.2f} ms" for seconds in (run.wall, run.processor)]
        cells = [run.scoring, f"{run.images:,}", f"{run.wall:,.0f} s", f"{run.processor:,.0f} s", *each]
        lines.append(f"| {' | '.join([*cells, f'{run.memory / 2**30:.2f} GiB'])} |")
    return "\n".join(lines)


def draw(path: Path, runs: list[Run]) -> None:
    """Processor time per image over the number of images."""
    lines = {
        name: sorted((run.images, 1000 * run.processor / run.images) for run in runs if run.scoring == name)
        for name in dict.fromkeys(run.scoring for run in runs)
    }
    plots.lines(path, lines, "training images", "processor time per image, ms")


if __name__ == "__main__":
    main()
