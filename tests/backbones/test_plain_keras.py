"""Surroundings that ask Keras for something else change nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIGEST = """
import hashlib, os
from fomoad.backbones import load
from fomoad.backbones.weights import find_weights
before = os.environ.get("KERAS_BACKEND")
network = load.load("mobilenet-v2-0.35", find_weights("mobilenet-v2-0.35", "bundled", 96), (32, 32, 3), "-1..1",
                    ("block_3_expand_relu",))
kernels = b"".join(node.kernel.tobytes() for node in network.nodes if hasattr(node, "kernel"))
assert os.environ.get("KERAS_BACKEND") == before
print(hashlib.sha256(kernels).hexdigest(), network.nodes[1].pads, network.nodes[1].kernel.dtype)
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_environment_and_settings_file_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        json.dumps({"backend": "torch", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3})
    )
    plain = run(DIGEST)
    assert plain.returncode == 0, plain.stderr
    other = run(DIGEST, KERAS_BACKEND="torch", KERAS_HOME=str(tmp_path))
    assert other.returncode == 0, other.stderr
    assert other.stdout == plain.stdout


def test_settings_of_a_program_are_as_before() -> None:
    program = (
        "import keras\n"
        "keras.config.set_floatx('float16'); keras.config.set_image_data_format('channels_first')\n"
        "keras.config.set_dtype_policy('mixed_float16')\n"
        "from fomoad.backbones.plain_keras import plain_keras\n"
        "with plain_keras() as inside:\n"
        "    assert inside.layers.Dense(1).dtype_policy.name == 'float32'\n"
        "print(keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name)\n"
    )
    done = run(program)
    assert done.stdout == "float16 channels_first mixed_float16\n", done.stderr


def test_another_backend_that_is_loaded_already_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from fomoad.backbones.plain_keras import plain_keras
    from fomoad.errors import UserError

    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(UserError, match="set KERAS_BACKEND=tensorflow"), plain_keras():
        pass
