"""Every format against plain arithmetic, and the files that are refused."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fomoad.errors import UserError
from fomoad.inference import runtimes
from fomoad.inference.model import load_model
from fomoad.metadata import TensorInfo
from tests.support import tiny_models

HEIGHT, WIDTH, CHANNELS = 24, 40, 3
FILES = ["model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (6, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_all(folder, HEIGHT, WIDTH, CHANNELS, images)
    return folder


@pytest.fixture(scope="module", params=FILES)
def loaded(request, folder):
    """Each file's name and model; a SavedModel takes seconds."""
    return request.param, load_model(folder / request.param)


def test_scores_are_those_of_the_reference(loaded, images):
    name, model = loaded
    scores = model.score(images)
    assert scores.dtype == np.float32
    assert scores.shape == (6, 3, 5)
    tolerance = 0.02 if "int8" in name else 1e-5
    np.testing.assert_allclose(scores, tiny_models.expected_scores(images), atol=tolerance)


def test_says_what_goes_in_and_out(loaded):
    name, model = loaded
    assert model.input.shape == (1, HEIGHT, WIDTH, CHANNELS)
    assert model.output.shape == (1, 3, 5)
    assert (model.input.dtype, model.output.dtype) == (("int8",) * 2 if "int8" in name else ("float32",) * 2)
    assert TensorInfo.model_validate(vars(model.input)).scale == model.input.scale


def test_int8_is_quantised_as_the_file_says(folder, images):
    """LiteRT driven by hand, with the quantisation worked out here."""
    from ai_edge_litert.interpreter import Interpreter

    path = folder / "model_quantized_int8_io.tflite"
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = into["quantization"]
    interpreter.set_tensor(into["index"], np.clip(np.rint(images[:1] / scale) + zero_point, -128, 127).astype(np.int8))
    interpreter.invoke()
    stored = interpreter.get_tensor(out["index"]).astype(np.float64)
    expected = out["quantization"][0] * (stored - out["quantization"][1])
    np.testing.assert_allclose(load_model(path).score(images[:1]), expected, rtol=1e-6)


def test_int8_input_saturates(folder):
    model = load_model(folder / "model_quantized_int8_io.tflite")
    far, edge = (np.full((1, HEIGHT, WIDTH, CHANNELS), value, np.float32) for value in (50.0, 1.0))
    np.testing.assert_allclose(model.score(far), model.score(edge), atol=0.03)


def test_no_images_give_no_grids(folder):
    empty = np.empty((0, HEIGHT, WIDTH, CHANNELS), np.float32)
    assert load_model(folder / "model.tflite").score(empty).shape == (0, 3, 5)


def test_other_real_types_are_taken(folder, images):
    model = load_model(folder / "model.onnx")
    np.testing.assert_allclose(model.score(images.astype(np.float64)), model.score(images), rtol=1e-6)


def test_images_of_another_size_are_refused(folder):
    with pytest.raises(UserError, match=r"24 x 40 x 3 .* 40 x 24 x 3"):
        load_model(folder / "model.tflite").score(np.zeros((1, WIDTH, HEIGHT, CHANNELS)))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no model file"):
        load_model(tmp_path / "model.tflite")


def test_another_suffix_is_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(UserError, match=r"give a \.tflite"):
        load_model(tmp_path / "model.h5")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"not a model at all, only text"], ids=["empty", "text"])
def test_a_file_of_another_kind_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_model(tmp_path / name)


def test_files_that_are_cut_off_are_refused(tmp_path, folder):
    """In a process of its own: a runtime that trusts the file could crash the whole test run."""
    cut = [(name, percent) for name in FILES for percent in (10, 50, 90, 99)]
    for name, percent in cut:
        content = (folder / name).read_bytes()
        (tmp_path / f"{percent}_{name}").write_bytes(content[: len(content) * percent // 100])
    code = f"""
from pathlib import Path
from fomoad.errors import UserError
from fomoad.inference import runtimes
from fomoad.inference.model import load_model
for path in Path({str(tmp_path)!r}).iterdir():
    try:
        load_model(path)
    except UserError as error:
        print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused:") == len(cut)


def test_a_model_that_gives_no_grid_is_refused(tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
    def classify(image):
        return tf.reduce_mean(image, axis=(1, 2))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([classify.get_concrete_function()])
    (tmp_path / "classifier.tflite").write_bytes(converter.convert())
    with pytest.raises(UserError, match=r"not an anomaly model: it maps \[1, 8, 8, 3\] to \[1, 3\]"):
        load_model(tmp_path / "classifier.tflite")


def test_an_archive_that_leads_outside_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "saved_model.zip", "w") as archive:
        archive.writestr("../outside.txt", "x")
    with pytest.raises(UserError, match="does not belong in it"):
        load_model(tmp_path / "saved_model.zip")


def test_an_archive_without_a_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "saved_model.zip", "w") as archive:
        archive.writestr("variables/variables.index", "x")
    with pytest.raises(UserError, match="holds no SavedModel"):
        load_model(tmp_path / "saved_model.zip")


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_small_runtimes_come_alone(folder, name):
    """Neither TensorFlow nor pydantic is imported for these files, so that `predict` starts at once."""
    code = f"""
import sys
from fomoad.inference import runtimes
from fomoad.inference.model import load_model
load_model({str(folder / name)!r})
print([m for m in ("tensorflow", "pydantic", "sklearn", "PIL") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tensorflow_runs_tflite_where_litert_is_missing(folder, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    scores = runtimes.load_tflite((folder / "model.tflite").read_bytes(), "model").score(images)
    np.testing.assert_allclose(scores, tiny_models.expected_scores(images), atol=1e-5)
