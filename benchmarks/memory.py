"""Peak memory of a training in its container, by number of images: `python -m benchmarks.memory IMAGE COUNT...`.

For each number of images (96 x 96, RGB, float32) and scoring function, a training under `docker run -m 2g`, read-only
and without a network. Printed as a Markdown table:

- own memory: what only the training can give back, its memory and its files in /tmp, looked at ten times a second;
- largest process: its resident set, which counts the pages of the images that are mapped at the moment, too;
- with page cache: the control group's peak. The kernel makes a cache of all that is free, and gives it up when needed.

Needs root, a Docker engine on this machine and 110 kB of disk an image.
"""

import argparse
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fomoad.data.samples.generate import DIFFICULTIES, NORMAL_NAME, photo
from fomoad.data.scaling import from_pixels

SIDE = 96
SCORERS = ("gmm", "patchcore")
PATCHES = (SIDE // 8 - 1) ** 2
BANK = 1000
"""So many patches are kept of all images: a larger bank makes a longer run. --memory-limit bounds what it may take."""
OPTIONS = ("--memory", "2g", "--memory-swap", "2g", "--read-only", "--tmpfs", "/tmp", "--network", "none")
PERIOD_SECONDS = 0.1
PARTS = 50
CGROUPS = Path("/sys/fs/cgroup")


@dataclass
class Peak:
    """The most bytes seen of each kind."""

    own: int = 0
    resident: int = 0
    group: int = 0

    def update(self, group: Path, unified: bool) -> None:
        """Look once more, while the container runs."""
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        own = sum(int(stat[key]) for key in (("anon", "shmem") if unified else ("total_rss", "total_shmem")))
        self.own = max(self.own, own)
        highest = "memory.peak" if unified else "memory.max_usage_in_bytes"
        self.group = max(self.group, int((group / highest).read_text()))
        for process in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                kilobytes = next(line for line in lines if line.startswith("VmHWM")).split()[1]
                self.resident = max(self.resident, int(kilobytes) * 1024)


def main() -> None:
    """Measure every combination and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("counts", type=int, nargs="+", metavar="COUNT")
    arguments = parser.parse_args()
    print("| images | scoring function | seconds | own memory | largest process | with page cache |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            ratio = ("--sampling-ratio", str(BANK / (PATCHES * count)))
            write_images(Path(folder) / "X_split_train.npy", count)
            for name in SCORERS:
                start = time.monotonic()
                peak = measure(arguments.image, Path(folder), ("--scoring-function", name, *ratio))
                seconds = time.monotonic() - start
                sizes = " | ".join(f"{size / 2**20:.0f} MiB" for size in (peak.own, peak.resident, peak.group))
                print(f"| {count:,} | {name} | {seconds:.0f} | {sizes} |", flush=True)


def write_images(path: Path, count: int) -> None:
    """Write photographs of a few parts, each moved and exposed differently: hardly any two patches are the same."""
    random = np.random.default_rng(0)
    photos = [from_pixels(photo(NORMAL_NAME, SIDE, DIFFICULTIES["medium"], random)[0], "0..1") for _ in range(PARTS)]
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, SIDE, SIDE, 3))
    for row in range(count):
        moved = np.roll(photos[row % PARTS], random.integers(-8, 9, 2), (0, 1))
        images[row] = np.clip(moved * random.uniform(0.9, 1.1), 0, 1)
    images.flush()


def measure(image: str, data: Path, arguments: tuple[str, ...]) -> Peak:
    """Run one training and watch it."""
    peak = Peak()
    paths = ("--data-directory", "/data", "--out-directory", "/out")
    with (
        tempfile.TemporaryDirectory() as out,
        started(image, (f"{data}:/data:ro", f"{out}:/out"), paths + arguments) as name,
    ):
        group, unified = find_group(docker("inspect", "--format", "{{.State.Pid}}", name))
        with contextlib.suppress(OSError):  # the group goes with the container
            while True:
                peak.update(group, unified)
                time.sleep(PERIOD_SECONDS)
        if docker("wait", name) != "0":
            raise SystemExit(docker("logs", "--tail", "5", name))
        left = sorted(path.name for path in Path(out).iterdir())
        if len(left) != 5:
            raise SystemExit(f"The output holds {left}.")
    return peak


@contextlib.contextmanager
def started(image: str, volumes: tuple[str, ...], arguments: tuple[str, ...]) -> Iterator[str]:
    """A container that is removed at the end."""
    mounts = [part for volume in volumes for part in ("--volume", volume)]
    name = docker("run", "--detach", *OPTIONS, *mounts, image, *arguments)
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def find_group(process: str) -> tuple[Path, bool]:
    """The control group of a process that accounts for its memory, and whether it is of version 2."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{process}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return CGROUPS / "memory" / path.lstrip("/"), False
    return CGROUPS / lines[0][2].lstrip("/"), True


def docker(*arguments: str) -> str:
    """The output of a docker command."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return (result.stdout + (result.stderr if arguments[0] == "logs" else "")).strip()


if __name__ == "__main__":
    main()
