"""What a training costs on a cluster: `python -m benchmarks.cluster --work FOLDER [--images 3000 6000]`.

A training runs for two numbers of made images of 96 pixels, its passes as tasks of a cluster, but one after the other
in this process on one thread. Printed is, for each pass, the processor time of its tasks and the bytes of steps and
results on the shared directory; then the processor time of all that stays on the driver, and what an empty task costs
on Dask. What grows with the images is taken from the difference of the two runs. From that the times of larger
trainings are calculated (Amdahl's law); no such cluster was measured. Other arguments go to the training.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.scale import SIDE, write_images
from fomoad import machine, parameters, settings
from fomoad.cluster import kinds, shelf
from fomoad.cluster.kinds import Kind
from fomoad.cluster.open import Cluster
from fomoad.features.shared import Task
from fomoad.features.store import SHARD_BATCHES
from fomoad.progress import console

IMAGES: Final = (3_000, 6_000)
"""More than fit into the sample that patches are selected from, so that both trainings do all readings."""
LARGE: Final = (200_000, 10_000_000)
MACHINES: Final = (1, 10, 100)
PROCESSORS: Final = 16
LINK: Final = 1.25e9
"""Bytes a second that a machine, and the driver, read from the shared file system: 10 Gbit/s."""
PIXEL_BYTES: Final = 1
"""Bytes of a value of the images: uint8."""
EMPTY_TASKS: Final = 500


@dataclass
class Pass:
    """What all passes of one name took: processor seconds of tasks, their number, and bytes moved."""

    seconds: float = 0.0
    passes: int = 0
    tasks: int = 0
    moved: int = 0


@dataclass
class Timed:
    """An engine that does tasks here on one thread, and takes their times."""

    passes: dict[str, Pass] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """That of this process."""
        return kinds.mine()

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], what: str, lost: Any = None) -> Iterator[Any]:
        """See fomoad.cluster.engine.Engine."""
        mine = self.passes.setdefault(what, Pass())
        mine.passes += 1
        for number, item in enumerate(items):
            start = time.process_time()
            with machine.limited(1):
                result = function(item)
            mine.seconds += time.process_time() - start
            mine.tasks += 1
            if isinstance(item, Task):
                mine.moved += (item.shelf.folder / item.result).stat().st_size
                mine.moved += (item.shelf.folder / item.step).stat().st_size if number == 0 else 0
            yield result


@dataclass(frozen=True)
class Run:
    """A training of so many images. Processor times in seconds."""

    images: int
    driver: float
    passes: dict[str, Pass]

    @property
    def tasks(self) -> float:
        """Of all tasks."""
        return sum(each.seconds for each in self.passes.values())

    @property
    def moved(self) -> int:
        """Bytes of all steps and results."""
        return sum(each.moved for each in self.passes.values())


def main() -> None:
    """Parse the arguments, run what has not been run yet, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the images and the results")
    parser.add_argument("--images", type=int, nargs=2, default=IMAGES)
    arguments, given = parser.parse_known_args()
    results = arguments.work / "cluster.json"
    known = json.loads(results.read_text()) if results.is_file() else {}
    for count in arguments.images:
        if str(count) not in known:
            run = train(arguments.work, count, given)
            known[str(count)] = asdict(run)
            results.write_text(json.dumps(known, indent=1) + "\n")
    few, many = (_run(known[str(count)]) for count in sorted(arguments.images))
    print(f"\n{table(many)}\n")
    print(speed_up(few, many, empty_task()))


def train(work: Path, count: int, given: list[str]) -> Run:
    """A training of `count` images."""
    from fomoad.training.places import There
    from fomoad.training.train import fit, open_directory

    data = work / f"data-{count}"
    if not (data / "done").is_file():
        write_images(data, count, work)
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    resolved = parameters.resolve(parser.parse_args(given))
    engine = Timed()
    with console(lambda: sys.stderr), shelf.opened(work, f"benchmark-{os.getpid()}") as there:
        start = time.process_time()
        fit(resolved, open_directory(resolved.settings, data, engine=engine), place=There(engine, there))
        seconds = time.process_time() - start
    return Run(count, seconds - sum(each.seconds for each in engine.passes.values()), engine.passes)


def empty_task() -> float:
    """Seconds that a task which does nothing takes on Dask, of many."""
    with contextlib.redirect_stdout(sys.stderr), Cluster("local:1").open() as engine:
        list(engine.map(abs, range(10), "Starting"))
        start = time.monotonic()
        list(engine.map(abs, range(EMPTY_TASKS), "Doing nothing"))
        return (time.monotonic() - start) / EMPTY_TASKS


def table(run: Run) -> str:
    """What each pass took, as Markdown."""
    lines = [f"| {run.images:,} images | passes | processor time | an image | moved |", "| --- |" + " ---: |" * 4]
    for name, each in run.passes.items():
        cost = f"{each.seconds:,.1f} s | {1000 * each.seconds / run.images:.2f} ms"
        lines.append(f"| {name} | {each.passes} | {cost} | {each.moved / 2**20:,.0f} MiB |")
    lines.append(f"| all tasks | | {run.tasks:,.1f} s | {1000 * run.tasks / run.images:.2f} ms | |")
    return "\n".join([*lines, f"| on the driver | | {run.driver:,.1f} s | | |"])


def speed_up(few: Run, many: Run, task: float) -> str:
    """The calculated times of larger trainings, as Markdown, with what is assumed."""
    more = many.images - few.images
    each = (many.tasks - few.tasks) / more
    driver = max(0.0, many.driver - few.driver) / more
    fixed = many.driver - driver * many.images
    moved = max(0, many.moved - few.moved) / more
    passes = sum(one.passes for one in many.passes.values())
    image = SIDE * SIDE * 3 * PIXEL_BYTES
    shard = SHARD_BATCHES * (16 * 2**20 // (4 * SIDE * SIDE * 3))
    lines = [
        "| images | machines | time | of it on the driver | speed-up over one processor |",
        "|" + " ---: |" * 5,
    ]
    for count in LARGE:
        alone = fixed + (driver + each) * count
        for machines in MACHINES:
            serial = fixed + driver * count + moved * count / LINK + passes * count / shard * task
            shared = each * count / (machines * PROCESSORS) + passes * image * count / (machines * LINK)
            total = serial + shared
            cells = [f"{count:,}", str(machines), _time(total), f"{serial / total:.0%}", f"{alone / total:,.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
    assumed = (
        f"Calculated, not measured, from {few.images:,} and {many.images:,} images: {1000 * each:.2f} ms of tasks, "
        f"{1e6 * driver:.0f} microseconds of the driver and {moved:.0f} bytes moved for a further image, {fixed:.0f} s "
        f"of the driver for any number, {1000 * task:.1f} ms of the scheduler for a task of {shard:,} images. Machines "
        f"have {PROCESSORS} processors like this one's, all at work all the time, and read {passes} times {image:,} "
        f"bytes an image at {LINK / 1e9:.2f} GB/s each; the driver reads what is moved at as much."
    )
    return "\n".join([*lines, "", assumed])


def _time(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _run(content: dict[str, Any]) -> Run:
    passes = {name: Pass(**each) for name, each in content["passes"].items()}
    return Run(content["images"], content["driver"], passes)


if __name__ == "__main__":
    main()
