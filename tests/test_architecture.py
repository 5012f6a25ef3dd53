"""Imports between packages go one way: down. docs/architecture.md shows the same order."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "geometry", "machine", "pages", "progress", "signals", "vote"}),
    frozenset({"extras", "locking", "verify"}),
    frozenset({"cluster", "coreset", "data", "export", "state_file"}),
    frozenset({"backbones", "defects", "device", "inference", "scorers", "settings"}),
    frozenset({"features", "metadata", "metrics", "parameters", "quantization"}),
    frozenset({"detection"}),
    frozenset({"doctor", "evaluation", "training"}),
    frozenset({"fleet", "maintenance", "search"}),
    frozenset({"tracking"}),
    frozenset({"device_kit"}),
    frozenset({"api", "commands"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""Packages and modules of fomoad, the lowest first. One imports from floors below its own only."""


def room(module: str) -> str:
    """The package or top-level module of fomoad that a dotted name lies in; fomoad itself is the empty room."""
    return module.partition("fomoad.")[2].partition(".")[0]


def imports(file: Path) -> Iterator[str]:
    """The rooms that a file imports from, at its top or inside of functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (room(name.name) for name in node.names if name.name.startswith("fomoad."))
        elif isinstance(node, ast.ImportFrom) and node.module == "fomoad":
            yield from (room(f"fomoad.{name.name}") for name in node.names if not name.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fomoad."):
            yield room(node.module or "")


def test_no_import_runs_up() -> None:
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    wrong = []
    for file in sorted((ROOT / "fomoad").rglob("*.py")):
        name = file.relative_to(ROOT / "fomoad").with_suffix("").parts[0]
        if name == "__init__":
            continue
        assert name in floor_of, f"give {name} a floor here and in docs/architecture.md"
        for other in imports(file):
            if other != name and floor_of[other] >= floor_of[name]:
                wrong.append(f"{file.relative_to(ROOT)} imports {other}")
    assert not wrong


def test_every_floor_is_in_use() -> None:
    rooms = {
        path.stem for path in (ROOT / "fomoad").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__"} == frozenset().union(*FLOORS)
