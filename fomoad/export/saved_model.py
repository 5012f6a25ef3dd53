"""TensorFlow SavedModels, zipped."""

import io
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from fomoad.export.trace import Exported

FILE = "saved_model.zip"
TOP_FOLDER = "saved_model"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member, so that the same model gives the same archive."""
_FUNCTION: Final = re.compile(r"__inference_.*_(\d+)$")
"""A function's name: TensorFlow ends it with a number that counts everything that the process has traced."""


def convert(exported: Exported) -> bytes:
    """Save with the signature serving_default and zip the folder `saved_model/`."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / TOP_FOLDER
        tf.saved_model.save(exported, str(top), signatures={"serving_default": exported.concrete})
        # It holds a random number, which nothing that loads the model needs.
        (top / "fingerprint.pb").unlink(missing_ok=True)
        graph = top / "saved_model.pb"
        graph.write_bytes(_renumbered(graph.read_bytes()))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in top.rglob("*") if p.is_file()):
                member = zipfile.ZipInfo(f"{TOP_FOLDER}/{path.relative_to(top).as_posix()}", EPOCH)
                archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
        return buffer.getvalue()


def _renumbered(content: bytes) -> bytes:
    """Number the functions of a SavedModel from 0 and sort them: the same model gives the same file in any process."""
    model = SavedModel.FromString(content)
    libraries = [graph.graph_def.library for graph in model.meta_graphs]
    functions = [function.signature.name for library in libraries for function in library.function]
    numbers = sorted({int(found[1]) for found in map(_FUNCTION.match, functions) if found})
    names = {
        name: f"{name.removesuffix(found[1])}{numbers.index(int(found[1]))}"
        for name in functions
        if (found := _FUNCTION.match(name))
    }
    _rename(model, names)
    for library in libraries:
        library.function.sort(key=lambda function: function.signature.name)
    return bytes(model.SerializeToString(deterministic=True))


def _rename(message: Any, names: dict[str, str]) -> None:
    """Put new names for old ones in all strings of a protocol buffer, and in the keys of its maps."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in list(value):
                if isinstance(value[key], str):
                    value[key] = names.get(value[key], value[key])
                elif hasattr(value[key], "ListFields"):
                    _rename(value[key], names)
                if key in names:
                    _move(value, key, names[key])
        elif field.message_type is not None:
            for part in value if field.label == field.LABEL_REPEATED else (value,):
                _rename(part, names)
        elif field.type == field.TYPE_STRING:
            if field.label == field.LABEL_REPEATED:
                value[:] = [names.get(text, text) for text in value]
            else:
                setattr(message, field.name, names.get(value, value))


def _move(entries: Any, key: str, new: str) -> None:
    """Give an entry of a map another key."""
    if hasattr(entries[key], "ListFields"):
        entries[new].CopyFrom(entries[key])
    else:
        entries[new] = entries[key]
    del entries[key]
