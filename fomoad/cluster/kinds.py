"""What a worker is: its processor and its libraries. Models have the same bytes on workers of one kind."""

import functools
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import fomoad
from fomoad.errors import UserError

PACKAGES: Final = (
    "numpy",
    "scipy",
    "ai-edge-litert",
    "tensorflow-cpu",
    "tensorflow",
    "onnx",
    "tf2onnx",
)
"""What computes or writes models."""
CPU_INFO: Final = Path("/proc/cpuinfo")
NAMING: Final = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "flags", "Features")
"""Lines of CPU_INFO that say of which kind a processor is, on x86 and on ARM."""


@dataclass(frozen=True)
class Kind:
    """A processor's description, and the versions of what computes on it."""

    processor: str
    versions: tuple[tuple[str, str], ...]


@functools.cache
def mine() -> Kind:
    """The kind of this process."""
    versions = [("fomoad", f"{fomoad.__version__} of code {_code()}"), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return Kind(_processor(), tuple(versions))


def check(kinds: Mapping[str, Kind]) -> None:
    """Raise UserError where workers, by their addresses, are not all of one kind.

    >>> check({"tcp://a:1": mine(), "tcp://b:1": mine()})
    """
    first, *others = kinds.items()
    for address, kind in others:
        if kind != first[1]:
            raise UserError(
                f"Workers are of different kinds, {first[0]} ({difference(first[1], kind)}) and {address} "
                f"({difference(kind, first[1])}): models would not have the same bytes on both. Start workers of one "
                "kind, or give that up with --allow-mixed-workers."
            )


def difference(kind: Kind, other: Kind) -> str:
    """What a kind has that the other has not."""
    parts = [kind.processor[:80]] if kind.processor != other.processor else []
    parts += [f"{name} {version}" for name, version in kind.versions if (name, version) not in other.versions]
    return ", ".join(parts) or "without what the other has"


def _code() -> str:
    """The beginning of a SHA-256 of all of fomoad's modules: other code may give other bytes."""
    total = hashlib.sha256()
    folder = Path(fomoad.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        total.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return total.hexdigest()[:12]


def _processor() -> str:
    """The first processor's lines of NAMING, or what Python knows where there is no such file."""
    try:
        lines = CPU_INFO.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = (line.partition(":") for line in lines)
    found = {name.strip(): " ".join(value.split()) for name, _, value in named}
    return " ".join([platform.machine(), *(found[name] for name in NAMING if name in found)])
