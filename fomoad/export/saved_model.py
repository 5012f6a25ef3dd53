"""TensorFlow SavedModels, zipped."""

import io
import tempfile
import zipfile
from pathlib import Path

import tensorflow as tf

from fomoad.export.trace import Exported

FILE = "saved_model.zip"
TOP_FOLDER = "saved_model"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time that every member bears, so that the same model gives the same archive."""


def convert(exported: Exported) -> bytes:
    """Save with the signature serving_default and zip the folder `saved_model/`."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / TOP_FOLDER
        tf.saved_model.save(exported, str(top), signatures={"serving_default": exported.concrete})
        # It holds a random number, which nothing that loads the model needs.
        (top / "fingerprint.pb").unlink(missing_ok=True)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in top.rglob("*") if p.is_file()):
                member = zipfile.ZipInfo(f"{TOP_FOLDER}/{path.relative_to(top).as_posix()}", EPOCH)
                archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
        return buffer.getvalue()
