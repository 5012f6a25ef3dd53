"""Values come back from a shelf as they were put there, whole or not at all, and never as code."""

import io
import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.cluster import shelf, values
from fomoad.cluster.shelf import Shelf
from fomoad.coreset.readings import Cover, Lots, Uncovered
from fomoad.errors import UserError


def some_value() -> Uncovered:
    """A value of values, with one array in two places."""
    twice = np.arange(12, dtype=np.float32).reshape(4, 3)
    return Uncovered(Cover(twice, np.array([], np.int64), 0.5), twice, Lots(2**70, 1), 0.25)


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(values.pack(some_value()))
    found: Any = values.read(path)
    assert isinstance(found, Uncovered)
    assert isinstance(found.cover, Cover)
    assert (found.lots, found.share, found.cover.radius) == (Lots(2**70, 1), 0.25, 0.5)
    np.testing.assert_array_equal(found.cover.centres, some_value().centre)
    assert found.cover.kept.dtype == np.int64
    assert len(found.cover.kept) == 0
    assert found.centre is found.cover.centres
    assert found.centre.ctypes.data % values.ALIGNMENT == 0
    assert values.pack(found) == values.pack(some_value())
    columns_first = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    path.write_bytes(values.pack((1, "two", None, columns_first)))
    *others, array = values.read(path)
    assert others == [1, "two", None]
    np.testing.assert_array_equal(array, columns_first)


@dataclass(frozen=True)
class Foreign:
    """A dataclass that is none of fomoad's."""

    path: str


def written(path: Path, *arrays: np.ndarray[Any, Any]) -> None:
    """A file of arrays as a value's is."""
    file = io.BytesIO()
    for array in arrays:
        file.write(bytes(-file.tell() % values.ALIGNMENT))
        np.lib.format.write_array(file, array, (1, 0))
    path.write_bytes(file.getvalue())


@pytest.mark.parametrize(
    "kind",
    [
        ["os", "system"],
        ["tests.cluster.test_shelf", "Foreign"],
        ["fomoad.cluster.shelf", "opened"],
        ["fomoad.cluster.shelf", "Path"],
        ["fomoad.nowhere", "Shelf"],
    ],
)
def test_nothing_but_dataclasses_of_fomoad_is_made(kind: list[str], tmp_path: Path) -> None:
    text = json.dumps({"class": kind, "fields": {}}).encode()
    written(tmp_path / "value", np.frombuffer(text, np.uint8))
    with pytest.raises(ValueError, match="no value of fomoad"):
        values.read(tmp_path / "value")


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    written(tmp_path / "value", np.frombuffer(b'{"array": 0}', np.uint8), np.array([Foreign("x")], object))
    with pytest.raises(UserError, match=r"value cannot be read on .* \(.*holds Python objects\): remove"):
        Shelf(tmp_path).get("value")


@pytest.mark.parametrize("cut", [0, 5, 100, 200, -1])
def test_a_damaged_file_is_refused(cut: int, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(values.pack(some_value())[:cut])
    with pytest.raises(UserError, match="value cannot be read"):
        Shelf(tmp_path).get("value")


def test_a_folder_that_is_not_shared_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not to be seen on"):
        Shelf(tmp_path / "none").get("value")
    with pytest.raises(UserError, match="is not to be seen on"):
        Shelf(tmp_path).get("value", seconds=0)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        there = Shelf(tmp_path / "shelf")
        there.folder.mkdir()
        there.put("small", (1, 2))
        with pytest.raises(UserError, match=r"^The shared directory .* could not be written on .*make room"):
            there.put("large", np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in there.folder.iterdir()] == ["small"]


def test_a_shelf_stays_after_a_failure_and_goes_after_success(tmp_path: Path) -> None:
    def broken_off() -> None:
        with shelf.opened(tmp_path, "one") as there:
            there.put("value", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    with shelf.opened(tmp_path, "one") as there:
        assert there.names() == {"value"}
        with (
            pytest.raises(UserError, match="Another run is writing to the shared directory"),
            shelf.opened(tmp_path, "one"),
        ):
            pass
        with shelf.opened(tmp_path, "two") as other:
            assert not other.names()
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be used"), shelf.opened(tmp_path / "none", "one"):
        pass
