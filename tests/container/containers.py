"""Trainings in containers, the data they are given, and what must come of them."""

import hashlib
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TAG = "fomoad-test"
MODELS = {"model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"}
FILES = MODELS | {"training_state.npz", "anomaly_metadata.json"}
USER = "4711:4712"
SIDE = 32
"""The smallest images: what these tests are about does not depend on the size."""


def docker(*arguments: str, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
    """Run the docker client and return what it said."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False)


class Running:
    """A training in a container of its own, in the background."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wait_for(self, words: str) -> None:
        """Return once the log holds these words, or the run is over."""
        self._follow(lambda _, line: words in line)

    def wait_for_line(self, number: int) -> None:
        """Return once the log has more than so many lines, or the run is over."""
        self._follow(lambda count, _: count >= number)

    def _follow(self, enough: Callable[[int, str], bool]) -> None:
        with subprocess.Popen(["docker", "logs", "--follow", self.name], stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            for count, line in enumerate(follower.stdout):
                if enough(count, line):
                    break
            follower.kill()

    def signal(self, name: str) -> None:
        docker("kill", "--signal", name, self.name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold all its processes but the first one meanwhile, which docker's own pause does not always manage."""
        self._signal_all("STOP")
        yield
        self._signal_all("CONT")

    def _signal_all(self, name: str) -> None:
        sent = docker("exec", self.name, "sh", "-c", f"kill -s {name} -- -1")
        assert sent.returncode == 0, sent.stderr

    def stop(self, seconds: int) -> None:
        """Send the stop signal, and SIGKILL so many seconds later: the exit code tells which of them ended it."""
        docker("stop", "--time", str(seconds), self.name)

    def wait(self) -> tuple[int, str]:
        """Exit code and log, once it is over."""
        code = int(docker("wait", self.name).stdout)
        finished = docker("logs", self.name)
        return code, finished.stdout + finished.stderr

    def temporary_files(self) -> list[str]:
        """What it has left in /tmp, which must be no mount."""
        return [line for line in docker("diff", self.name).stdout.splitlines() if " /tmp/" in line]


class Trainer:
    """Starts trainings in the image, with data and output mounted."""

    def __init__(self, image: str) -> None:
        self._image = image
        self.started: list[str] = []

    def start(
        self,
        data: Path,
        out: Path | None,
        options: Sequence[str] = (),
        arguments: Sequence[str] = ("--data-directory", "/data", "--out-directory", "/out"),
    ) -> Running:
        """Start a training. `options` are docker's; with `out` None they must provide /out."""
        name = f"{TAG}-{uuid.uuid4().hex}"
        mounts = [f"{data}:/data:ro", *([f"{out}:/out"] if out else [])]
        volumes = [part for mount in mounts for part in ("--volume", mount)]
        begun = docker(
            *("run", "--detach", "--name", name, "--network", "none", *volumes, *options),
            *(self._image, "--capacity", "low", *arguments),
        )
        self.started.append(name)
        assert begun.returncode == 0, begun.stderr
        return Running(name)

    def run(self, *arguments: object, **named: object) -> tuple[int, str]:
        """Start a training and wait for its end: exit code and log."""
        return self.start(*arguments, **named).wait()  # type: ignore[arg-type]


def images_of(count: int, side: int) -> np.ndarray:
    """Images 0..1 of stripes in random places."""
    random = np.random.default_rng(count)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    phase = random.uniform(0, 6, (count, 1, 1, 1)).astype(np.float32)
    waves: np.ndarray = 0.5 + 0.35 * np.sin(
        (x + 2 * y)[None, :, :, None] / 3 + phase + np.zeros((1, 1, 1, 3), np.float32)
    )
    return waves


def write_data(directory: Path, count: int, side: int = SIDE) -> Path:
    """Write X, Y, sample ids and the info file, in pieces, so that any number of images fits into memory."""
    directory.mkdir()
    images = np.lib.format.open_memmap(
        directory / "X_split_train.npy", mode="w+", dtype=np.float32, shape=(count, side, side, 3)
    )
    for start in range(0, count, 100):
        images[start : start + 100] = images_of(min(100, count - start), side)
    images.flush()
    ids = list(range(1, count + 1))
    np.save(directory / "X_split_test.npy", np.zeros((0, side, side, 3), np.float32))
    np.save(directory / "Y_split_train.npy", np.array([[2, sample, 0, 0] for sample in ids], np.int32))
    (directory / "Y_split_test.npy").touch()
    (directory / "sample_id_details.json").write_text(json.dumps({"train": ids, "validation": []}))
    info = {
        "classes": ["anomaly", "no anomaly"],
        "mode": "visual-anomaly",
        "inputShapeString": f"({side}, {side}, 3)",
        "yType": "npy",
        "trainTestSplit": 0.2,
        "convertInt8": True,
        "profileInt8": True,
        "maxTrainingTimeSeconds": 1200,
        "remainingGpuComputeTimeSeconds": None,
    }
    (directory / "train_input.json").write_text(json.dumps(info))
    return directory


def check_complete(directory: Path) -> None:
    """All files of one run are there, whole, and nothing else."""
    assert {path.name for path in directory.iterdir()} == FILES
    check_models(directory)


def check_models(directory: Path) -> None:
    """The models are those that the metadata beside them tells of."""
    metadata = json.loads((directory / "anomaly_metadata.json").read_text())
    assert set(metadata["models"]) == MODELS
    for name, record in metadata["models"].items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == record["sha256"], name


def last_line(log: str) -> str:
    return log.strip().splitlines()[-1]


def setting(name: str, default: int) -> int:
    """A number from the environment, for those who want to test longer."""
    return int(os.environ.get(name, default))
