"""Rows of measurements, one a model file and data set, and the tables and pictures made of them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from benchmarks import plots


@dataclass(frozen=True)
class Row:
    """One model file (or reference) on one data set. None: has no meaning here. Sizes in bytes, time in seconds."""

    data: str
    setting: str
    file: str
    auroc: float
    aupro: float | None = None
    pixel_auroc: float | None = None
    f1: float | None = None
    false_alarms: float | None = None
    flash: int | None = None
    arena: int | None = None
    macs: int | None = None
    cpu_seconds: float | None = None


def read(path: Path) -> list[Row]:
    """The rows that an earlier run left, if any."""
    return [Row(**row) for row in json.loads(path.read_text())] if path.is_file() else []


def write(out: Path, rows: list[Row]) -> None:
    """Write the rows, their table and pictures of their means into a folder."""
    (out / "quality.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    (out / "quality.md").write_text(table(rows))
    found = means(rows)
    plots.bars(out / "auroc.svg", {key: row.auroc for key, row in found.items()}, "image AUROC; 0.5 is guessing", 0.5)
    sizes = {key: (row.flash / 1024, row.auroc) for key, row in found.items() if row.flash}
    if sizes:
        plots.scatter(out / "cost.svg", sizes, "size of the model file, KB", "image AUROC")


def means(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """For each setting and file the mean over the data sets that all of them were measured on."""
    settings = list(dict.fromkeys((row.setting, row.file) for row in rows if not row.setting.startswith("seed")))
    common = set.intersection(*({r.data for r in rows if (r.setting, r.file) == key} for key in settings))
    result = {}
    for key in settings:
        mine = [asdict(row) for row in rows if (row.setting, row.file) == key and row.data in common]
        figures = {
            name: mean([each[name] for each in mine]) for name in mine[0] if name not in ("data", "setting", "file")
        }
        result[key] = Row(**(figures | {"data": f"mean of {len(mine)}", "setting": key[0], "file": key[1]}))
    return result


def table(rows: list[Row]) -> str:
    """All rows and their means, as Markdown."""
    shown = [row for row in rows if not row.setting.startswith("seed")]
    lines = [
        "| data | setting | model | AUROC | AUPRO | pixel AUROC | F1 | false alarms | flash | arena | MACs | CPU |"
    ]
    lines.append("|" + " --- |" * 12)
    lines += [_line(row) for row in [*means(rows).values(), *shown]]
    lines += ["", "Five seeds of the default mixture:", "", "| data | AUROC: mean | standard deviation |"]
    lines.append("| --- | --- | --- |")
    for data in dict.fromkeys(row.data for row in rows):
        found = [row.auroc for row in rows if row.data == data and row.setting.startswith("seed")]
        if found:
            lines.append(f"| {data} | {fmean(found):.3f} | {pstdev(found):.4f} |")
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    cells = [row.data, row.setting, row.file, *(shown(v, ".3f") for v in (row.auroc, row.aupro, row.pixel_auroc))]
    cells += [shown(row.f1, ".3f"), shown(row.false_alarms, ".1%")]
    cells += [f"{size / 1024:,.0f} KB" if size else "" for size in (row.flash, row.arena)]
    cells += [f"{row.macs / 1e6:.1f} M" if row.macs else "", shown(row.cpu_seconds, ".0f")]
    return f"| {' | '.join(cells)} |"


def mean(values: list[Any]) -> Any:
    """The mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
