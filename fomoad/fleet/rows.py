"""The table of a fleet: a row a product, checked as a whole before anything runs."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.errors import UserError
from fomoad.parameters import Parameters
from fomoad.settings import TrainSettings
from fomoad.training import ignoring

COLUMNS: Final = ("name", "data", "output")
"""Beside these, columns are parameters by their names; an empty cell leaves the default."""
REQUIRED: Final = ("data", "output")


@dataclass(frozen=True)
class Row:
    """A product: the `line` of the table, its name, data directory, output directory and parameters."""

    line: int
    name: str
    data: Path
    output: Path
    parameters: Parameters


def read(path: Path) -> list[Row]:
    """The rows of a CSV file with a header. Folders are relative to the file's own.

    Raises UserError where it is no such table, and one that names all bad rows together.
    """
    rows: list[Row] = []
    faults: list[str] = []
    for line, cells in _lines(path):
        try:
            rows.append(_row(line, cells, path.absolute().parent))
        except UserError as error:
            faults.append(f"line {line}: {error}")
    for what in ("output", "name"):
        count = Counter(str(getattr(row, what)) for row in rows)
        faults += [
            f"line {row.line}: the {what} {getattr(row, what)} comes {count[str(getattr(row, what))]} times."
            for row in rows
            if count[str(getattr(row, what))] > 1
        ]
    if faults:
        raise UserError(f"{path} has rows that cannot be trained, so nothing was:\n  " + "\n  ".join(faults))
    if not rows:
        raise UserError(f"{path} has no rows: write one for each product below the header.")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and cells by column; rows of nothing but empty cells are left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [_column(cell) for cell in next(reader, [])]
            _check_header(path, header)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    if len(cells) > len(header):
                        raise UserError(f"Line {reader.line_num} of {path} has more cells than the header: correct it.")
                    yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a CSV file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): write it again.") from error


def _column(cell: str) -> str:
    return cell.strip().replace("-", "_")


def _check_header(path: Path, header: list[str]) -> None:
    known = (*COLUMNS, *TrainSettings.model_fields)
    unknown = [name for name in header if name not in known]
    missing = [name for name in REQUIRED if name not in header]
    twice = [name for name, count in Counter(header).items() if count > 1]
    for names, what in ((missing, "lacks"), (twice, "gives twice"), (unknown, "has unknown columns, namely")):
        if names:
            raise UserError(
                f"The header of {path} {what} {', '.join(map(repr, names))}: it takes {', '.join(COLUMNS)} and the "
                "names of train's parameters."
            )


def _row(line: int, cells: dict[str, str], folder: Path) -> Row:
    """The product of a row. Raises UserError where its training could not begin."""
    for name in REQUIRED:
        if not cells.get(name):
            raise UserError(f"the column {name} is empty.")
    given = {name: cell for name, cell in cells.items() if name not in COLUMNS and cell}
    parameters = Parameters.of(given)
    settings = parameters.settings
    data, output = folder / cells["data"], folder / cells["output"]
    if output.resolve() == folder.resolve() or output.resolve() == data.resolve():
        raise UserError(f"the output {output} holds other files: give a folder of its own.")
    split = dataset.open_split(data, "train", settings.image_input_scaling)
    if split.images is None:
        raise UserError(f"{data} holds no training images.")
    find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    ignoring.read(settings, split)
    return Row(line, cells.get("name") or output.name, data, output, parameters)
