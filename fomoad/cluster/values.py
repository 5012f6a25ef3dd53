"""Values as files: dataclasses of fomoad, tuples, numbers, texts and arrays, read back as maps of the file.

A file is a JSON text, as an array of bytes, and then the arrays that it names, each as in an npy file. Nothing in it is
code, as it would be in a pickle.
"""

import importlib
import io
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

ALIGNMENT: Final = 64
"""Arrays begin at multiples of so many bytes: products of others are slow."""


def pack(value: Any) -> bytes:
    """The bytes of a value's file. The same value gives the same bytes."""
    arrays: list[NDArray[Any]] = []
    text = json.dumps(_described(value, arrays)).encode()
    file = io.BytesIO()
    for array in (np.frombuffer(text, np.uint8), *arrays):
        file.write(bytes(-file.tell() % ALIGNMENT))
        np.lib.format.write_array(file, array, (1, 0), allow_pickle=False)  # type: ignore[no-untyped-call]
    return file.getvalue()


def read(path: Path) -> Any:
    """The value in a file, its arrays mapped. Raises OSError or ValueError where it is missing or damaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        text = bytes(_mapped(file, path))
        arrays = []
        while file.tell() < size:
            arrays.append(_mapped(file, path))
    try:
        return _restored(json.loads(text), arrays)
    except (KeyError, IndexError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"{path} holds no value of fomoad ({error!r})") from error


def _mapped(file: BinaryIO, path: Path) -> NDArray[Any]:
    """The next array of a file."""
    file.seek(-file.tell() % ALIGNMENT, io.SEEK_CUR)
    np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    if dtype.hasobject:
        raise ValueError(f"{path} holds Python objects")
    start = file.tell()
    count = int(np.prod(shape, dtype=np.int64))
    file.seek(count * dtype.itemsize, io.SEEK_CUR)
    if count == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C").view(np.ndarray)


def _described(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        known = next((number for number, array in enumerate(arrays) if array is value), None)
        if known is None:
            known = len(arrays)
            arrays.append(value)
        return {"array": known}
    if is_dataclass(value):
        kind = type(value)
        assert kind.__module__.startswith("fomoad."), kind
        parts = {field.name: _described(getattr(value, field.name), arrays) for field in fields(value)}
        return {"class": [kind.__module__, kind.__name__], "fields": parts}
    if isinstance(value, tuple | list):
        return [_described(each, arrays) for each in value]
    assert value is None or isinstance(value, bool | int | float | str), value
    return value


def _restored(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return tuple(_restored(each, arrays) for each in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    module, name = value["class"]
    kind = getattr(importlib.import_module(module), name) if module.startswith("fomoad.") else None
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise TypeError(f"{module}.{name} is no dataclass of fomoad")
    return kind(**{key: _restored(each, arrays) for key, each in value["fields"].items()})
