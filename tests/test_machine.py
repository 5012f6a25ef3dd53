"""Limits of processors and memory, as Linux writes them."""

import os
from pathlib import Path

import pytest

from fomoad.machine import memory_bytes, processors


def limits(folder: Path, **contents: str) -> Path:
    """A folder of limits; in a name __ stands for a slash and DOT for a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({}, 8),
        ({"cpuDOTmax": "max 100000\n"}, 8),
        ({"cpuDOTmax": "150000 100000\n"}, 2),
        ({"cpuDOTmax": "10000 100000\n"}, 1),
        ({"cpuDOTmax": "1600000 100000\n"}, 8),
        ({"cpu__cpuDOTcfs_quota_us": "-1\n", "cpu__cpuDOTcfs_period_us": "100000\n"}, 8),
        ({"cpu__cpuDOTcfs_quota_us": "300000\n", "cpu__cpuDOTcfs_period_us": "100000\n"}, 3),
    ],
)
def test_processors(contents: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert processors(limits(tmp_path, **contents)) == expected


def test_processors_follow_the_affinity() -> None:
    """For real: what the system says of this process."""
    assert 1 <= processors() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["memoryDOTmax", "memory__memoryDOTlimit_in_bytes"])
def test_memory(name: str, tmp_path: Path) -> None:
    installed = memory_bytes(tmp_path)
    assert installed > 2**28
    assert memory_bytes(limits(tmp_path, **{name: f"{2**28}\n"})) == 2**28
    assert memory_bytes(limits(tmp_path, **{name: "9223372036854771712\n"})) == installed
    assert memory_bytes(limits(tmp_path, **{name: "max\n"})) == installed
