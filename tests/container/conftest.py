"""A real Docker engine and the image built from this tree. Without an engine, these tests are skipped."""

import re
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
    built = docker("build", "--tag", TAG, *_stand_in(), str(ROOT))
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return TAG


def _stand_in() -> list[str]:
    """The build argument for an engine without a network that holds an image of the base's tag, not of its digest."""
    [pinned] = re.findall(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    tag = pinned.partition("@")[0]
    if docker("image", "inspect", pinned).returncode and not docker("image", "inspect", tag).returncode:
        return ["--build-arg", f"BASE_IMAGE={tag}"]
    return []


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
