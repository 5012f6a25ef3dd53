"""Several models over the same test images: a report for each, and their figures side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fomoad.errors import UserError
from fomoad.evaluation.results import Results
from fomoad.progress import log

FIGURES = ("auroc", "average_precision", "f1", "precision", "recall")


def report_directories(models: Sequence[Path], directory: Path) -> list[Path]:
    """Where each model's report goes: the directory for one, else folders in it that are named after the models.

    >>> [str(path) for path in report_directories([Path("a/model.tflite"), Path("b/model.tflite")], Path("r"))]
    ['r/a-model.tflite', 'r/b-model.tflite']

    Raises UserError where a model is given twice.
    """
    if len(models) == 1:
        return [directory]
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        names = ["-".join(part for part in model.parts[-2:]) for model in models]
    if len(set(names)) < len(names):
        names = ["-".join(part for part in model.absolute().parts[1:]) for model in models]
    if len(set(names)) < len(names):
        raise UserError("The same model is given twice: give each --model once.")
    return [directory / name for name in names]


def run(models: Sequence[Path], directory: Path, test: Callable[[Path, Path], Results]) -> list[Results]:
    """Test each model with `test`, which takes its path and its report's directory, and log a table of figures."""
    directories = report_directories(models, directory)
    results = [test(model, folder) for model, folder in zip(models, directories, strict=True)]
    if len(models) > 1:
        for line in table([folder.name for folder in directories], results):
            log(line)
    return results


def table(names: Sequence[str], results: Sequence[Results]) -> list[str]:
    """A line of names and one of figures for each model."""
    rows: list[tuple[str, ...]] = [("model", *FIGURES)]
    for name, result in zip(names, results, strict=True):
        values = (getattr(result, figure) for figure in FIGURES)
        rows.append((name, *("none" if value is None else f"{value:.4f}" for value in values)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
