"""What a TFLite model asks of the device that is to run it."""

import sys
from collections import Counter
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from fomoad.device import costs, micro
from fomoad.errors import UserError
from fomoad.export import tflite_file
from fomoad.export.tflite_file import Operation

_NOT_INSTALLED: Final = "TFLite Micro's Python interpreter is not installed here (wheels: Linux on x86-64)"
_SPARE_ARENA: Final = 1 << 20
"""What an arena holds besides tensors and per-channel scales (a few dozen bytes per operation), with room to spare."""


class Blocker(BaseModel):
    """An operation that TFLite Micro cannot run, and what it says to it."""

    operation: str
    reason: str


class Profile(BaseModel):
    """What `fomoad profile` prints as JSON."""

    model_config = ConfigDict(protected_namespaces=())

    model: str = Field(description="The file's name.")
    flash_bytes: int = Field(description="The file's size: what it takes of a device's flash memory.")
    arena_bytes: int | None = Field(
        description="The smallest working memory in which TFLite Micro runs the model, measured on a 64-bit machine "
        "(a microcontroller needs a little less); null where it could not be measured."
    )
    tflite_micro: bool | None = Field(description="Whether TFLite Micro runs the model; null where that is unknown.")
    not_measured: str | None = Field(description="Why arena_bytes is null.")
    blocking: list[Blocker] = Field(description="The operations that keep TFLite Micro from running the model.")
    macs: int = Field(description="Multiply-accumulates for one image.")
    macs_by_precision: dict[str, int]
    elements_without_macs: int = Field(description="Values written by operations that have no multiply-accumulates.")
    operations: dict[str, int] = Field(description="How often each operation occurs.")
    latency: list[costs.Latency] = Field(description="Estimates for one image, by latency_formula.")
    latency_formula: str = costs.FORMULA


def profile_model(path: Path) -> Profile:
    """Measure and count what a .tflite file needs.

    Raises UserError for a file that is missing or no TFLite model.
    """
    content = tflite_file.read_content(path)
    operations = tflite_file.operations(content)
    try:
        by_precision = costs.macs_by_precision(operations)
        elements = costs.elements_without_macs(operations)
    except (IndexError, ValueError, OverflowError) as error:
        raise UserError(
            f"The file {path} has an operation without its tensors: it is damaged, get a new copy."
        ) from error
    run = micro.measure(content, _roomy_arena(content, operations)) if micro.available() else None
    return Profile(
        model=path.name,
        flash_bytes=len(content),
        arena_bytes=run.arena_bytes if run else None,
        tflite_micro=run.failure is None if run else None,
        not_measured=run.failure if run else _NOT_INSTALLED,
        blocking=_blocking(content) if run and run.failure else [],
        macs=sum(by_precision.values()),
        macs_by_precision=by_precision,
        elements_without_macs=elements,
        operations=dict(Counter(operation.name for operation in operations)),
        latency=costs.latencies(by_precision, elements),
    )


def command(model: Path, as_json: bool) -> None:
    """Print a model's profile: a table on a terminal, else (or where asked for) JSON."""
    profile = profile_model(model)
    print(table(profile) if sys.stdout.isatty() and not as_json else profile.model_dump_json(indent=2), flush=True)


def table(profile: Profile) -> str:
    """A profile for people to read."""
    shares = ", ".join(f"{count:,} {name}" for name, count in profile.macs_by_precision.items())
    arena = "unknown" if profile.arena_bytes is None else _kilobytes(profile.arena_bytes)
    runs = {True: "yes", False: "no", None: "unknown"}[profile.tflite_micro]
    rows = [
        ("Model", profile.model),
        ("Flash", _kilobytes(profile.flash_bytes)),
        ("TFLite Micro", runs + (f": {profile.not_measured}" if profile.not_measured else "")),
        ("Arena (RAM)", arena),
        ("MACs", f"{profile.macs:,}" + (f" ({shares})" if shares else "")),
        ("Operations", ", ".join(f"{count} {name}" for name, count in sorted(profile.operations.items()))),
    ]
    rows += [("In the way", f"{blocker.operation}: {blocker.reason}") for blocker in profile.blocking]
    for latency in profile.latency:
        where = f"{latency.core} at {latency.clock_hz // 1_000_000} MHz"
        rows.append(("Latency", f"about {_two_digits(latency.milliseconds)} ms on a {where} (estimate)"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _roomy_arena(content: bytes, operations: list[Operation]) -> int:
    """An arena in which the model fits surely: all its tensors at once, twice over for scratch buffers."""
    tensors = sum(
        t.bytes for operation in operations for t in (*operation.inputs, *operation.outputs) if not t.constant
    )
    return 2 * tensors + len(content) + _SPARE_ARENA


def _blocking(content: bytes) -> list[Blocker]:
    """Try each kind of operation alone."""
    blockers = []
    for name, alone in tflite_file.single_operation_models(content):
        run = micro.measure(alone, _roomy_arena(alone, tflite_file.operations(alone)))
        if run.failure:
            blockers.append(Blocker(operation=name, reason=run.failure))
    return blockers


def _kilobytes(count: int) -> str:
    return f"{count / 1024:,.1f} KB ({count:,} bytes)"


def _two_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
