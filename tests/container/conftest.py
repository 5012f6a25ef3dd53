"""A real Docker engine and the image built from this tree. Without an engine, these tests are skipped."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.containers import ROOT, TAG, Trainer, docker, write_data


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name, built where the cache does not have it."""
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("no Docker engine answers here")
    built = docker("build", "--tag", TAG, str(ROOT))
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return TAG


@pytest.fixture
def trainer(image: str) -> Iterator[Trainer]:
    trainer = Trainer(image)
    yield trainer
    for name in trainer.started:
        docker("rm", "--force", name)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory that any user may write to."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data directory as Studio makes it."""
    return write_data(tmp_path / "data", 12)
