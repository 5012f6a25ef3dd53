"""Surroundings that ask Keras for something else change nothing."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from fomoad.backbones import load
from fomoad.backbones.weights import find_weights
from fomoad.export import tflite
from fomoad.export.trace import Exported
from fomoad.features.pooling import STOCK_POOLING, Features

ROOT = Path(__file__).parents[2]
SHAPE, LAYERS = (32, 32, 3), ("block_6_expand_relu",)


def digest() -> str:
    """The SHA-256 of a TFLite file of the bundled weights."""
    weights = find_weights("mobilenet-v2-0.35", "bundled", 96)
    network = load.load("mobilenet-v2-0.35", weights, SHAPE, "-1..1", LAYERS)
    features = Features(network, LAYERS[0], STOCK_POOLING)
    return hashlib.sha256(tflite.convert_features(Exported(features.graph, SHAPE), rounded=False)).hexdigest()


def test_environment_and_settings_file_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        json.dumps({"backend": "torch", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3})
    )
    done = subprocess.run(
        [sys.executable, "-c", "from tests.backbones.test_surroundings import digest; print(digest())"],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == digest() + "\n", done.stderr


def test_keras_is_imported_only_where_it_is_asked_for() -> None:
    """By no training or search, and by `tf.keras` as ever; TensorFlow says nothing of its start."""
    program = (
        "import os, sys\n"
        "import fomoad.training.models, fomoad.training.tuning, fomoad.search.judge\n"
        "from tests.backbones.test_surroundings import digest\n"
        "digest()\n"
        "print([name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ\n"
        "import tensorflow\n"
        "print(tensorflow.keras.layers.Dense(3).units)\n"
    )
    told = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=told, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['tensorflow']\n3\n", done.stderr
    assert "oneDNN" not in done.stderr
