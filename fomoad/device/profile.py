"""What a TFLite model needs of the device that runs it."""

import sys
from collections import Counter
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from fomoad.device import costs, micro
from fomoad.errors import UserError
from fomoad.export import tflite_file
from fomoad.export.tflite_file import Operation

_NOT_INSTALLED: Final = "TFLite Micro's Python interpreter is not installed here (wheels: Linux on x86-64)"
_SPARE_ARENA: Final = 1 << 20
"""What an arena holds besides tensors and per-channel scales (a few dozen bytes per operation), with room to spare."""


Runtime = Literal["edge-impulse", "tflite-micro"]
FLOAT_BYTES: Final = 4
MOST_COSTLY: Final = 3
REGISTERED_THERE: Final = ("TOPK_V2",)
"""Operations that Edge Impulse's library registers although TFLite Micro's own list of all operations lacks them."""


RUNTIME_NAMES: Final[dict[Runtime, str]] = {"tflite-micro": "TFLite Micro", "edge-impulse": "Edge Impulse"}


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
    image_copy_bytes: int | None = Field(
        None,
        description="What Edge Impulse's library holds beside the arena: the image as floats, "
        "4 x width x height x channels.",
    )
    edge_impulse_bytes: int | None = Field(
        None, description="Working memory on Edge Impulse's library: arena_bytes and image_copy_bytes; or null."
    )
    edge_impulse: bool | None = Field(
        None,
        description="Whether Edge Impulse's library has all operations: those of TFLite Micro, and "
        f"{', '.join(REGISTERED_THERE)}; null where that is unknown.",
    )
    blocking: list[Blocker] = Field(description="The operations that keep TFLite Micro from running the model.")
    macs: int = Field(description="Multiply-accumulates for one image.")
    macs_by_precision: dict[str, int]
    elements_without_macs: int = Field(description="Values written by operations that have no multiply-accumulates.")
    operations: dict[str, int] = Field(description="How often each operation occurs.")
    latency: list[costs.Latency] = Field(description="Estimates for one image, by latency_formula.")
    latency_formula: str = costs.FORMULA

    def ram(self, runtime: Runtime) -> int | None:
        """The working memory in bytes under a runtime; None where it could not be measured."""
        return self.arena_bytes if runtime == "tflite-micro" else self.edge_impulse_bytes


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
    copied = FLOAT_BYTES * sum(tensor.elements for tensor in tflite_file.inputs(content))
    run = micro.measure(content, _roomy_arena(content, operations)) if micro.available() else None
    blocking = _blocking(content) if run and run.failure else []
    return Profile(
        model=path.name,
        flash_bytes=len(content),
        arena_bytes=run.arena_bytes if run else None,
        tflite_micro=run.failure is None if run else None,
        not_measured=run.failure if run else _NOT_INSTALLED,
        image_copy_bytes=copied,
        edge_impulse_bytes=run.arena_bytes + copied if run and run.arena_bytes is not None else None,
        edge_impulse=_runs_there(run, blocking) if run else None,
        blocking=blocking,
        macs=sum(by_precision.values()),
        macs_by_precision=by_precision,
        elements_without_macs=elements,
        operations=dict(Counter(operation.name for operation in operations)),
        latency=costs.latencies(operations),
    )


def command(model: Path, as_json: bool) -> None:
    """Print a model's profile: a table on a terminal, else (or where asked for) JSON."""
    profile = profile_model(model)
    print(table(profile) if sys.stdout.isatty() and not as_json else profile.model_dump_json(indent=2), flush=True)


def table(profile: Profile) -> str:
    """A profile for people to read."""
    shares = ", ".join(f"{count:,} {name}" for name, count in profile.macs_by_precision.items())
    runs = {True: "yes", False: "no", None: "unknown"}[profile.tflite_micro]
    there = "yes" if profile.edge_impulse else {False: "no", None: "unknown"}[profile.edge_impulse]
    only = [blocker.operation for blocker in profile.blocking if blocker.operation in REGISTERED_THERE]
    runs_there = there + (f": its library registers {', '.join(only)}" if profile.edge_impulse and only else "")
    rows = [
        ("Model", profile.model),
        ("Flash", _kilobytes(profile.flash_bytes)),
        ("TFLite Micro", runs + (f": {profile.not_measured}" if profile.not_measured else "")),
        ("Edge Impulse", runs_there),
        *((f"RAM, {RUNTIME_NAMES[each]}", ram_in_words(profile, each)) for each in RUNTIME_NAMES),
        ("MACs", f"{profile.macs:,}" + (f" ({shares})" if shares else "")),
        ("Operations", ", ".join(f"{count} {name}" for name, count in sorted(profile.operations.items()))),
    ]
    rows += [("In the way", f"{blocker.operation}: {blocker.reason}") for blocker in profile.blocking]
    for latency in profile.latency:
        where = f"{latency.core} at {latency.clock_hz // 1_000_000} MHz"
        most = list(latency.instructions.items())[:MOST_COSTLY]
        share = sum(latency.instructions.values()) or 1
        parts = "; " + ", ".join(f"{count / share:.0%} {name}" for name, count in most) if most else ""
        rows.append(("Latency", f"about {_two_digits(latency.milliseconds)} ms on a {where} (estimate){parts}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def ram_in_words(profile: Profile, runtime: Runtime) -> str:
    """The working memory under a runtime, and what it is made of."""
    needed = profile.ram(runtime)
    if needed is None:
        return "unknown"
    if runtime == "tflite-micro" or not profile.image_copy_bytes:
        return f"{_kilobytes(needed)}, the arena"
    return f"{_kilobytes(needed)}, the arena and {profile.image_copy_bytes:,} bytes of the image as floats"


def _runs_there(run: micro.Run, blocking: list[Blocker]) -> bool | None:
    """Whether Edge Impulse's library has all operations; None where TFLite Micro fails for no single one of them."""
    if run.failure is None:
        return True
    return all(blocker.operation in REGISTERED_THERE for blocker in blocking) if blocking else None


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
