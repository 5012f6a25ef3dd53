"""What several test modules share."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from fomoad import progress

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if "CI" in os.environ else "here")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and images that lies beside some checkouts."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real weights and images is not here")
    return SHARED


@contextmanager
def once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all processes of a test run share, and whether it is new: only one of them may then fill it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_new = not folder.exists()
        folder.mkdir(exist_ok=True)
        yield folder, is_new


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file for mobilenet-v2-0.35: random, with statistics that keep its features alive."""
    import numpy as np

    from tests.support.backbones import fresh_arrays

    arrays, random = fresh_arrays(), np.random.default_rng(0)
    for name, values in arrays.items():
        if name.endswith("beta"):
            values[:] = random.uniform(0, 1, values.shape)
        elif name.endswith("moving_variance"):
            values[:] = random.uniform(0.1, 0.3, values.shape)
    with once(tmp_path_factory, "weights") as (folder, is_new):
        if is_new:
            np.savez(folder / "random.npz", **arrays)
    return folder / "random.npz"


@pytest.fixture(autouse=True)
def printed() -> Iterator[None]:
    """What functions say is printed, as by the command line."""
    with progress.console():
        yield


@pytest.fixture(scope="session", params=["gmm", "patchcore"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, random_weights: Path) -> Any:
    """Data, output directory and arguments of a finished training; beside the output lies what it said, log.txt."""
    from tests.training.test_train import textures, train, write_data

    arguments = [f"--scoring-function={request.param}", "--capacity=low", "--tune=off", "--contamination=0"]
    arguments += ["--weights", str(random_weights)]
    with once(tmp_path_factory, request.param) as (folder, is_new):
        data, out = folder / "data", folder / "out"
        if is_new:
            write_data(data, textures(30, (64, 64, 1), 0))
            (data / "train_input.json").write_text('{"imageResize": "fit-short", "imageInputScaling": "0..1"}')
            with (folder / "log.txt").open("w") as said, redirect_stdout(said):
                assert train(data, out, *arguments, "--epochs", "30", "--learning-rate", "0.1") == 0
    return data, out, arguments
