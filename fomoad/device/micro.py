"""Running a model on TFLite Micro, in a process of its own.

TFLite Micro ends the whole process where it meets something it cannot run, so `measure` starts this module as a
program: it runs the model once on zeros and asks TFLite Micro's recording allocator what that took.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SECONDS_TO_RUN: Final = 600
_ALIGNMENT: Final = 16
"""TFLite Micro rounds what it takes to this many bytes; an odd arena size would count as taken, too."""
_TOTAL: Final = re.compile(rb"Arena allocation total (\d+) bytes")
_PACKAGE_PARENT: Final = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Run:
    """How a model fared: the arena that it needs in bytes, or why it does not run."""

    arena_bytes: int | None
    failure: str | None


def available() -> bool:
    """Whether TFLite Micro's Python interpreter is installed (there are wheels for Linux on x86-64 only)."""
    return importlib.util.find_spec("tflite_micro") is not None


def measure(content: bytes, arena_bytes: int) -> Run:
    """Run a model once, given an arena of `arena_bytes`, and report the smallest arena that is enough.

    That size is that of a 64-bit machine: pointers are half as large on a microcontroller, which needs a little
    less.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        paths = os.pathsep.join(p for p in (_PACKAGE_PARENT, os.environ.get("PYTHONPATH")) if p)
        try:
            child = subprocess.run(
                [sys.executable, "-m", __name__, str(path), str(arena_bytes)],
                env={**os.environ, "PYTHONPATH": paths},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS_TO_RUN,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Run(None, f"it did not finish within {SECONDS_TO_RUN} seconds")
    if child.returncode == 0:
        return Run(int(child.stdout), None)
    return Run(None, _reason(child.stderr) or f"the interpreter ended with code {child.returncode}")


def run(content: bytes, stored: Any, arena_bytes: int) -> Any:
    """The stored outputs (N, ...) of stored inputs (N, ...), by a model that `measure` has found to run."""
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    outputs = []
    for each in stored:
        interpreter.set_input(each[None], 0)
        interpreter.invoke()
        outputs.append(np.array(interpreter.get_output(0)[0]))
    return np.stack(outputs)


def _reason(errors: str) -> str:
    """What TFLite Micro says first, before Python's traceback; or the error that this ends with."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or [""]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _report_smallest_arena(path: str, arena_bytes: str) -> None:
    """Run the model in a roomy arena, then print the size of the smallest in which it still starts.

    That is what the recording allocator counts, and in very small models a few bytes more: while the model is
    prepared, TFLite Micro borrows memory that it gives back.
    """
    content = Path(path).read_bytes()
    too_small = _recorded_bytes(_run_once(content, int(arena_bytes) // _ALIGNMENT * _ALIGNMENT)) - _ALIGNMENT
    step = _ALIGNMENT
    while not _starts(content, too_small + step):
        too_small += step
        step *= 2
    while step > _ALIGNMENT:
        step //= 2
        if not _starts(content, too_small + step):
            too_small += step
    print(too_small + _ALIGNMENT)


def _run_once(content: bytes, arena_bytes: int) -> Any:
    """Run a model on zeros and return the interpreter."""
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    index = 0
    while True:
        try:
            details = interpreter.get_input_details(index)
        except IndexError:
            break
        interpreter.set_input(np.zeros(details["shape"], details["dtype"]), index)
        index += 1
    interpreter.invoke()
    return interpreter


def _recorded_bytes(interpreter: Any) -> int:
    """What the recording allocator writes to the standard error stream, read from a file put in its place."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        interpreter.print_allocations()
        os.dup2(saved, 2)
        caught.seek(0)
        total = _TOTAL.search(caught.read())
    os.close(saved)
    if total is None:
        raise RuntimeError("TFLite Micro's recording allocator wrote no total")
    return -(-int(total.group(1)) // _ALIGNMENT) * _ALIGNMENT


def _starts(content: bytes, arena_bytes: int) -> bool:
    from tflite_micro.python.tflite_micro import runtime

    try:
        runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    _report_smallest_arena(*sys.argv[1:])
