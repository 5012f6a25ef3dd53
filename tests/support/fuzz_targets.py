"""Every reader of bytes from elsewhere: whatever it is given, it reads it or raises UserError.

`tools/fuzz/run.py` feeds these with made inputs, and the test of the corpora with those that were kept.
"""

import contextlib
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from fomoad import state_file
from fomoad.backbones import weights_file
from fomoad.backbones.layers import BatchNorm, Conv
from fomoad.data.image_file import read_image, read_mask
from fomoad.data.label_names import read_label_map
from fomoad.errors import UserError
from fomoad.evaluation.evaluate import find_metadata
from fomoad.evaluation.results import Results
from fomoad.export import tflite_file
from fomoad.inference import predict
from fomoad.maintenance import score_lines
from fomoad.verify import onnx, saved_model, tflite
from tests.support.reading import npy_file, read_all

DATA_FILES: Final = (
    "X_split_train.npy",
    "X_split_test.npy",
    "Y_split_train.npy",
    "train_input.json",
    "sample_id_details.json",
    "Y_split_train.json",
    "masks_split_test.npy",
    "sample_file_names.json",
    "labels.json",
)
MOST_PIXELS: Final = 10**6
MODEL: Final = b"a model's content"
LAYERS: Final = (Conv("conv", (), kernel=(1, 1, 2, 3)), BatchNorm("norm", ("conv",), channels=3, epsilon=0.001))
_IMAGES: Final = npy_file(np.full((2, 32, 32, 1), 0.5, np.float16))
_FOLDER: Final = Path(tempfile.mkdtemp(prefix="fomoad-fuzz-"))


def data_directory(content: bytes) -> None:
    """One file of a data directory; the first byte says which."""
    for name in DATA_FILES:
        (_FOLDER / name).unlink(missing_ok=True)
    (_FOLDER / "X_split_train.npy").write_bytes(_IMAGES)
    (_FOLDER / "X_split_test.npy").write_bytes(_IMAGES)
    (_FOLDER / DATA_FILES[content[0] % len(DATA_FILES)]).write_bytes(content[1:])
    read_all(_FOLDER)


def image(content: bytes) -> None:
    """A photo and a mask."""
    path = _FOLDER / "image.png"
    path.write_bytes(content)
    for read in (
        lambda: read_image(path, 1, 10**6),
        lambda: read_image(path, 3, 10**6),
        lambda: read_mask(path, 10**6),
    ):
        with contextlib.suppress(UserError):
            read()


def tflite_model(content: bytes) -> None:
    """A TFLite file: what passes the check is listed and cut up."""
    tflite.check_structure(content, "model.tflite")
    tflite_file.operations(content)
    list(tflite_file.single_operation_models(content))


def onnx_model(content: bytes) -> None:
    """An ONNX file."""
    onnx.check(content, "model.onnx")


def archive(content: bytes) -> None:
    """A zipped SavedModel."""
    saved_model.check(content, "saved_model.zip")


def program(content: bytes) -> None:
    """The program in a zipped SavedModel."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("saved_model/saved_model.pb", content)
    saved_model.check(zipped.getvalue(), "saved_model.zip")


def metadata(content: bytes) -> None:
    """The metadata beside a model."""
    model = _FOLDER / "model.tflite"
    model.write_bytes(MODEL)
    (_FOLDER / "anomaly_metadata.json").write_bytes(content)
    with contextlib.suppress(UserError):
        predict._metadata(model)
    find_metadata(model)


def results(content: bytes) -> None:
    """results.json, as anything that reads it back must take it."""
    with contextlib.suppress(ValueError):
        Results.model_validate_json(content)


def label_map(content: bytes) -> None:
    """What label names mean."""
    path = _FOLDER / "map.json"
    path.write_bytes(content)
    read_label_map(path)


def state(content: bytes) -> None:
    """training_state.npz."""
    path = _FOLDER / state_file.FILE
    path.write_bytes(content)
    state_file.read(path)


def score_line(content: bytes) -> None:
    """A line of scores."""
    with contextlib.suppress(score_lines.LineError):
        score_lines.parse(content)


def weights(content: bytes) -> None:
    """A backbone's weights as .npz. Those of a .h5 file are read by HDF5, which made ones can keep busy without end."""
    path = _FOLDER / "weights.npz"
    path.write_bytes(content)
    weights_file.read(path, "small", LAYERS, {"conv"})


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        data_directory, image, tflite_model, onnx_model, archive, program, metadata, results, label_map, state,
        score_line, weights,
    )
}  # fmt: skip


def run(target: str, content: bytes) -> None:
    """Give a reader an input. Any exception but UserError is a defect."""
    if content:
        with contextlib.suppress(UserError):
            TARGETS[target](content)


def good_image() -> bytes:
    """A small PNG."""
    content = io.BytesIO()
    Image.new("P", (3, 2), 1).save(content, "PNG")
    return content.getvalue()


def good_metadata() -> bytes:
    """Metadata that know MODEL."""
    threshold = {"suggested": 1.5, "method": "max", "max_train": 1.5}
    tensor = {"shape": [1, 32, 32, 3], "dtype": "float32"}
    model = {
        "sha256": hashlib.sha256(MODEL).hexdigest(), "bytes": 3, "input": tensor, "output": tensor,
        "threshold": threshold,
    }  # fmt: skip
    content = {
        "nominalThresholdScore": 1.5, "threshold": threshold, "scoring_function": "gmm", "settings": {},
        "backbone": {"name": "x", "layers": [], "weights": "x", "weights_sha256": "x"},
        "input": {"height": 32, "width": 32, "channels": 3, "scaling": "-1..1", "resize": "squash"},
        "grid": {"rows": 4, "columns": 4}, "training_images": 3, "versions": {}, "models": {"model.tflite": model},
    }  # fmt: skip
    return json.dumps(content).encode()
