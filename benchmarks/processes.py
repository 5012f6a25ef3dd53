"""Running a command as a process of its own, and what that took."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Seconds on the clock, seconds of processor time, and bytes of the largest process' resident set."""

    wall: float
    processor: float
    memory: int


def run(command: list[str], log: Path) -> Usage:
    """Run a command to its end, its output going to a file.

    Raises SystemExit where it fails.
    """
    began = time.monotonic()
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
    if status:
        raise SystemExit(f"{' '.join(command[:4])} ... failed: see {log}.")
    return Usage(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
