"""What is logged of a training, a test and a search: read from the files that they leave."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fomoad.export.output_directory import METADATA_FILE
from fomoad.metadata import AnomalyMetadata, ModelFile
from fomoad.tracking.record import Record

if TYPE_CHECKING:
    from fomoad.search.page import Entry


def of_training(folder: Path) -> Record:
    """A training's settings, thresholds, and what each TFLite file needs on a device."""
    metadata = AnomalyMetadata.model_validate_json((folder / METADATA_FILE).read_bytes())
    figures: dict[str, float | None] = {"training_images": metadata.training_images}
    for name, model in metadata.models.items():
        figures |= {f"{name}/{figure}": value for figure, value in _of_model(model).items()}
    parameters = metadata.settings | {
        "input": f"{metadata.input.width} x {metadata.input.height} x {metadata.input.channels}"
    }
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return Record(folder.absolute().name, parameters, _known(figures), tuple(files))


def of_test(folder: Path) -> Record:
    """A test's figures, and the settings of the model where they are known."""
    from fomoad.evaluation.evaluate import REPORT_FILE, RESULTS_FILE  # here: a training need not wait for it
    from fomoad.evaluation.results import Results

    results = Results.model_validate_json((folder / RESULTS_FILE).read_bytes())
    names = ("auroc", "average_precision", "f1", "precision", "recall", "false_positive_rate", "threshold")
    figures: dict[str, float | None] = {name: getattr(results, name) for name in names}
    if results.pixel is not None:
        figures |= {"pixel_auroc": results.pixel.auroc, "aupro": results.pixel.aupro}
    parameters = {"model": results.model.file, "model_sha256": results.model.sha256} | (results.model.settings or {})
    files = (folder / RESULTS_FILE, folder / REPORT_FILE)
    return Record(folder.absolute().name, parameters, _known(figures), files)


def of_search(folder: Path) -> Record:
    """A search's best, with its files, and every candidate that was judged as a part."""
    from fomoad.search import page

    results = page.Results.model_validate_json((folder / page.RESULTS_FILE).read_bytes())
    parts = [_of_candidate(entry, results.metric) for entry in results.entries if entry.values]
    [best] = [part for part in parts if part.name == f"candidate {results.choice.best}"]
    tested = {f"test_{name}": value for name, value in results.test.items()}
    files = (folder / page.RESULTS_FILE, folder / page.REPORT_FILE, folder / "best")
    figures = {**best.figures, **_known(tested)}
    return Record(folder.absolute().name, best.parameters, figures, files, tuple(parts))


def _of_candidate(entry: "Entry", metric: str) -> Record:
    assert entry.values is not None
    names: Sequence[str] = (f"selection_{metric}", "flash_bytes", "ram_bytes", "milliseconds")
    return Record(f"candidate {entry.number}", entry.parameters, dict(zip(names, entry.values, strict=True)))


def _of_model(model: ModelFile) -> dict[str, float | None]:
    found: dict[str, float | None] = {"bytes": model.bytes, "threshold": model.threshold.suggested}
    if model.profile is not None:
        found |= {"flash_bytes": model.profile.flash_bytes, "arena_bytes": model.profile.arena_bytes}
    return found


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}
