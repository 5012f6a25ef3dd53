"""What this process may use of the machine: processors and memory, as affinity and container limits allow."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
"""Where Linux shows a container its own limits: version 2 of control groups, or version 1 in folders by kind."""

_most = math.inf


@contextlib.contextmanager
def limited(most: int) -> Iterator[None]:
    """Let `processors` answer no more than `most` within the block, in all threads."""
    global _most
    before, _most = _most, most
    try:
        yield
    finally:
        _most = before


def processors(cgroups: Path = CGROUPS) -> int:
    """How many processors this process may keep busy: at least 1.

    The least of those that it may run on (taskset, docker --cpuset-cpus) and those whose time a container may use
    (docker --cpus), rounded up.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _words(cgroups / "cpu.max") or [
        *_words(cgroups / "cpu/cpu.cfs_quota_us"),
        *_words(cgroups / "cpu/cpu.cfs_period_us"),
    ]
    if len(limit) != 2 or not limit[0].isdigit():  # "max" and -1 are no limit
        return int(min(available, _most))
    return int(max(1, min(available, math.ceil(int(limit[0]) / int(limit[1])), _most)))


def memory_bytes(cgroups: Path = CGROUPS) -> int:
    """How many bytes of memory this process may use: the machine's, or the container's where it has less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _words(cgroups / name)
        if limit and limit[0].isdigit():
            return min(installed, int(limit[0]))
    return installed


def _words(path: Path) -> list[str]:
    """The words of a small file, none where there is no such file."""
    with contextlib.suppress(OSError):
        return path.read_text().split()
    return []
