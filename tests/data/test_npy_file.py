"""npy files are closed again, whatever is in them."""

import gc
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from fomoad.data.npy_file import open_array
from fomoad.errors import UserError


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_closed_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.arange(6).reshape(3, 2))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:90])
    gc.collect()
    before = _open_files()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        array = open_array(tmp_path / "good.npy")
        assert array is not None
        (tmp_path / "good.npy").unlink()
        assert array.rows(slice(1, 2)).tolist() == [[2, 3]], "a file that is removed stays readable"
        del array
        for name in ("text.npy", "cut.npy"):
            with pytest.raises(UserError, match="damaged or not an npy file"):
                open_array(tmp_path / name)
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
    assert _open_files() == before


def test_a_pipe_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "X_split_train.npy")
    with pytest.raises(UserError, match="no file but a folder, pipe or device"):
        open_array(tmp_path / "X_split_train.npy")
