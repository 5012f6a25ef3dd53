"""What is known of each image of a split: its label, in any of the forms that are about, its id and file name."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.info_file import Info, read_json
from fomoad.data.npy_file import open_array
from fomoad.errors import UserError

DEFAULT_CLASSES: Final = ("anomaly", "no anomaly")
"""What label index 1 and 2 mean where no info file says it."""


def read_labels(
    directory: Path, split: str, count: int, info: Info
) -> tuple[list[str | None] | None, list[str] | None]:
    """Labels and sample ids of a split, each None where the directory does not tell."""
    names = (f"Y_split_{split}.npy", f"Y_split_{split}.json", f"y_{split}.npy")
    path = next((p for p in (directory / n for n in names) if p.is_file() and p.stat().st_size), None)
    if path is None:
        return None, None
    classes = info.classes or DEFAULT_CLASSES
    if _looks_like_json(path):
        return _labels_of_json(path, read_json(path), count, classes)
    array = open_array(path)
    assert array is not None, "files of zero bytes were passed over"
    if len(array.shape) not in (1, 2) or array.dtype.kind not in "iufb" or len(array) != count:
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}, which are no labels of {count} images: it must be int32 "
            f"({count}, 4) or one-hot rows."
        )
    rows = array.rows(slice(None))
    if not (np.isfinite(rows).all() and (rows == np.trunc(rows)).all()):
        raise UserError(f"{path} holds labels that are not whole numbers: write it again or remove it.")
    if rows.ndim == 1:
        return [_class_name(path, int(index), classes) for index in rows], None
    if _one_hot(rows, classes):
        return [_class_name(path, int(index) + 1, classes) for index in rows.argmax(axis=1)], None
    if rows.shape[1] != 4:
        raise UserError(
            f"{path} has {rows.shape[1]} columns and no one-hot rows: labels have 4 columns or are one-hot."
        )
    labels: list[str | None] = [_class_name(path, int(index), classes) for index in rows[:, 0]]
    return labels, [str(int(sample)) for sample in rows[:, 1]]


def _one_hot(rows: NDArray[Any], classes: tuple[str, ...]) -> bool:
    """Whether each row has a single 1. Four columns are only one-hot where there are four classes."""
    if rows.shape[1] == 4 and len(classes) != 4:
        return False
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _labels_of_json(
    path: Path, content: Any, count: int, classes: tuple[str, ...]
) -> tuple[list[str | None] | None, list[str] | None]:
    """Labels of a JSON list (names or class indices from 1), or of {"samples": [{"sampleId", "label"}]}."""
    samples = content.get("samples") if isinstance(content, dict) else content
    if not isinstance(samples, list) or len(samples) != count:
        raise UserError(f"{path} is not a JSON list of {count} labels, one an image: write it again or remove it.")
    labels: list[str | None] = []
    ids: list[str] = []
    for sample in samples:
        label = sample.get("label") if isinstance(sample, dict) else sample
        if isinstance(sample, dict) and isinstance(sample.get("sampleId"), int | str):
            ids.append(str(sample["sampleId"]))
        if isinstance(label, int) and not isinstance(label, bool):
            label = _class_name(path, label, classes)
        if label is not None and not isinstance(label, str):
            raise UserError(f"{path} holds a label that is neither a name nor a number: {str(label)[:50]!r}.")
        labels.append(label)
    return labels, ids if len(ids) == count else None


def _class_name(path: Path, index: int, classes: tuple[str, ...]) -> str:
    """The name of a label index, which counts from 1."""
    if not 1 <= index <= len(classes):
        raise UserError(
            f"{path} holds the label index {index}, but there are the classes 1 to {len(classes)} "
            f"({', '.join(classes)[:100]}): correct the labels or the info file's classes."
        )
    return classes[index - 1]


def read_row_list(path: Path, key: str, count: int) -> list[str] | None:
    """A list of one string a row from a JSON file; None where there is no such file or key."""
    if not path.is_file():
        return None
    content = read_json(path)
    values = content.get(key) if isinstance(content, dict) else None
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != count or not all(isinstance(v, int | str) for v in values):
        raise UserError(
            f"In {path}, {key!r} is not a list of {count} entries, one an image: write it again or remove it."
        )
    return [str(value) for value in values]


def _looks_like_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] in (b"[", b"{")
