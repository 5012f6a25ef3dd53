"""Fuzzes the readers of a data directory, guided by coverage: any input is read or refused by a UserError.

    pip install atheris
    python tools/fuzz/readers.py FOLDER [-max_total_time=600 and other options of libFuzzer]

FOLDER collects inputs that reach new code. The first byte of an input picks the file that the rest is written to.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
with atheris.instrument_imports(include=["fomoad", "json", "numpy.lib.format", "numpy.lib._format_impl"]):
    from fomoad.errors import UserError
    from tests.support.reading import npy_file, read_all

TARGETS = (
    "X_split_train.npy",
    "X_split_test.npy",
    "Y_split_train.npy",
    "train_input.json",
    "sample_id_details.json",
    "Y_split_train.json",
)
COUNT = 2


def fuzz(content: bytes) -> None:
    """Put one input in place of a file of a good data directory, and read everything."""
    if not content:
        return
    for name in TARGETS:
        (DIRECTORY / name).unlink(missing_ok=True)
    (DIRECTORY / "X_split_train.npy").write_bytes(IMAGES)
    (DIRECTORY / TARGETS[content[0] % len(TARGETS)]).write_bytes(content[1:])
    with contextlib.suppress(UserError):
        read_all(DIRECTORY)


def seeds() -> list[bytes]:
    """A good input for each target."""
    labels = np.array([[2, row, 0, 0] for row in range(COUNT)], np.int32)
    info = {"classes": ["anomaly", "no anomaly"], "inputShapeString": "(32, 32, 3)"}
    contents = [
        IMAGES,
        IMAGES,
        npy_file(labels),
        json.dumps(info).encode(),
        json.dumps({"train": [1, 2], "validation": [3]}).encode(),
        json.dumps({"samples": [{"sampleId": 1, "label": "no anomaly"}, {"label": 2}]}).encode(),
    ]
    return [bytes([index]) + content for index, content in enumerate(contents)]


IMAGES = npy_file(np.full((COUNT, 32, 32, 1), 0.5, np.float16))
DIRECTORY = Path(tempfile.mkdtemp(prefix="fomoad-fuzz-"))

if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds()):
        (corpus / f"seed-{index}").write_bytes(seed)
    atheris.Setup([*sys.argv, "-rss_limit_mb=1024", "-timeout=10", "-max_len=8192"], fuzz)
    atheris.Fuzz()
