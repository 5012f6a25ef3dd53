"""Arrays on disk, computed once."""

import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from fomoad.search.cache import Cache


def test_of_many_that_ask_one_computes(tmp_path: Path) -> None:
    cache, computed, found = Cache(tmp_path, 2**20), [], []

    def compute() -> np.ndarray:
        computed.append(1)
        return np.arange(10, dtype=np.float32)

    askers = [threading.Thread(target=lambda: found.append(cache.get("key", compute))) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(computed) == 1
    for array in found:
        np.testing.assert_array_equal(array, np.arange(10))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    kilobyte = np.zeros(256, np.float32)
    cache = Cache(tmp_path, 3 * 1300)
    first = cache.get("first", lambda: kilobyte + 1)
    for name in ("second", "third"):
        cache.get(name, lambda: kilobyte)
    cache.get("first", lambda: kilobyte - 1)
    cache.get("fourth", lambda: kilobyte)
    asked = []
    for name in ("first", "second"):
        cache.get(name, lambda name=name: asked.append(name) or kilobyte)
    assert asked == ["second"]
    np.testing.assert_array_equal(first, kilobyte + 1)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.npy")) <= 3 * 1300


def test_a_full_disk_costs_time_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit of a file's size stands for the disk's end."""
    cache, computed = Cache(tmp_path, 2**20), []

    def compute() -> np.ndarray:
        computed.append(1)
        return np.arange(1000, dtype=np.float32)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        for _ in range(2):
            np.testing.assert_array_equal(cache.get("key", compute), np.arange(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(computed) == 2
    assert "takes no more features (File too large)" in caplog.text
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
