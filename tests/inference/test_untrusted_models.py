"""Model files made to do harm: nothing that they ask for is done, and nothing crashes but the process made for them."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from fomoad.device.profile import profile_model
from fomoad.errors import UserError
from fomoad.export import tflite_file
from fomoad.inference.model import load_model
from fomoad.verify import archive, tflite
from tests.support import tiny_models

SIDE = 16
IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_all(folder, SIDE, SIDE, 3, IMAGES)
    return folder


@pytest.mark.parametrize("location", ["../../secret", "/etc/passwd", "link"])
def test_onnx_data_in_other_files_are_not_read(folder: Path, tmp_path: Path, location: str) -> None:
    """The scores of such a model are the other file's bytes."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"\1\2\3\4" * 16)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "link").symlink_to(secret)
    model = onnx.load(folder / "model.onnx")
    tensor = model.graph.initializer.add(name="stolen", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = tmp_path / "a" / "b" / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="some of its data in other files"):
        load_model(path)


def _constant(model: Any, **fields: Any) -> None:
    """Put data in another file into the attribute of a Constant operation."""
    tensor = onnx.TensorProto(name="x", data_type=1, dims=[1], **fields)
    model.graph.node.add(op_type="Constant", output=["x"]).attribute.add(name="value", type=4, t=tensor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.graph.node.add(op_type="Loop"), "the operation 'Loop'"),
        (lambda m: m.graph.node.add(op_type="Conv", domain="evil"), "the operation 'evil.Conv'"),
        (lambda m: m.graph.node[0].attribute.add(name="body").g.node.add(op_type="Add"), "a graph"),
        (lambda m: m.graph.sparse_initializer.add(), "a sparse constant"),
        (lambda m: _constant(m, data_location=1), "other files"),
    ],
)
def test_foreign_parts_of_onnx_are_named(folder: Path, tmp_path: Path, change: Any, message: str) -> None:
    model = onnx.load(folder / "model.onnx")
    change(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "model.onnx")


def _zipped(module: Any, folder: Path) -> Path:
    tf.saved_model.save(module, str(folder / "saved_model"))
    with zipfile.ZipFile(folder / "saved_model.zip", "w") as zipped:
        for path in (folder / "saved_model").rglob("*"):
            zipped.write(path, path.relative_to(folder))
    return folder / "saved_model.zip"


class Harmful(tf.Module):  # type: ignore[misc]
    """Writes a file each time that it scores an image, from a function that its signature calls."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = str(file)

    @tf.function
    def write(self, image: Any) -> Any:
        tf.io.write_file(self.file, "written")
        return tf.reduce_mean(image, axis=3)

    @tf.function(input_signature=[tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32)])
    def __call__(self, image: Any) -> Any:
        return {"scores": self.write(image)}


def test_a_saved_model_that_writes_files_runs_only_when_trusted(tmp_path: Path) -> None:
    written = tmp_path / "written"
    path = _zipped(Harmful(written), tmp_path)
    with pytest.raises(UserError, match=r"the operation 'WriteFile'.*--trust-model"):
        load_model(path)
    assert not written.exists()
    load_model(path, trust=True).score(IMAGES[:1])
    assert written.read_text() == "written"


def test_a_saved_model_that_fails_at_run_time_is_a_user_error(tmp_path: Path) -> None:
    """Its operations are harmless, but they fail for some images."""

    class Failing(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32)])
        def __call__(self, image: Any) -> Any:
            rows = tf.cast(tf.reduce_max(image), tf.int32)
            return {"scores": tf.ensure_shape(tf.reshape(image[0, :4, :4, 0], [1, rows, 4]), [1, 4, 4])}

    model = _load_allowing(_zipped(Failing(), tmp_path), "EnsureShape")
    assert model.score(np.full((1, SIDE, SIDE, 3), 4, np.float32)).shape == (1, 4, 4)
    with pytest.raises(UserError, match="cannot be run"):
        model.score(np.full((1, SIDE, SIDE, 3), 3, np.float32))


def _load_allowing(path: Path, operation: str) -> Any:
    """Load a SavedModel with one more operation than is allowed, in its own process all the same."""
    from fomoad.inference import worker

    with pytest.raises(UserError, match=operation):
        load_model(path)
    return worker.load("saved_model", path.read_bytes(), str(path))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("saved_model/saved_model.pb", bytes(archive.FREE_BYTES + 1))
    (tmp_path / "saved_model.zip").write_bytes(bomb.getvalue())
    assert len(bomb.getvalue()) < 2**17
    with pytest.raises(UserError, match=r"is not unpacked: its 0\.1 MiB would become 1 files of 64 MiB"):
        load_model(tmp_path / "saved_model.zip")


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """The directory states 10 bytes, the member holds 100 million."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("saved_model/saved_model.pb", bytes(10**8))
    true, false = (struct.pack("<I", size) for size in (10**8, 10))
    (tmp_path / "saved_model.zip").write_bytes(bomb.getvalue().replace(true, false))
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path / "saved_model.zip")


def _member(name: str, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        zipped.writestr(info, b"/etc/passwd", method)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        _member("saved_model/saved_model.pb", mode=0o120777),
        _member("saved_model/saved_model.pb", method=zipfile.ZIP_LZMA),
        _member("saved_model/saved_model.cpb"),
        _member("saved_model/assets/x"),
        _member("/saved_model.pb"),
    ],
    ids=["a link", "another compression", "a format that comes first", "assets", "an absolute path"],
)
def test_odd_members_of_a_zip_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.zip").write_bytes(content)
    with pytest.raises(UserError, match="so it is not unpacked"):
        load_model(tmp_path / "saved_model.zip")


def test_damaged_compression_is_a_user_error(folder: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr("saved_model/saved_model.pb", np.random.default_rng(0).bytes(2000), zipfile.ZIP_DEFLATED)
    damaged = bytearray(content.getvalue())
    damaged[60:90] = bytes(30)
    with pytest.raises(zlib.error), zipfile.ZipFile(io.BytesIO(bytes(damaged))) as zipped:
        zipped.read("saved_model/saved_model.pb")
    (tmp_path / "saved_model.zip").write_bytes(damaged)
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path / "saved_model.zip")


def _changed(folder: Path, name: str, change: Any) -> bytes:
    model = schema.ModelT.InitFromPackedBuf((folder / name).read_bytes(), 0)
    change(model)
    return tflite_file.pack(model)


def _scale(value: float) -> Any:
    def change(model: Any) -> None:
        model.subgraphs[0].tensors[0].quantization.scale = np.array([value], np.float32)

    return change


def _custom(model: Any) -> None:
    model.operatorCodes[0].deprecatedBuiltinCode = model.operatorCodes[0].builtinCode = 32
    model.operatorCodes[0].customCode = "Evil"


def _far_input(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [1_000_000]


def _huge(model: Any) -> None:
    model.subgraphs[0].tensors[0].shape = [1, 60000, 60000, 3]


def _no_operations(model: Any) -> None:
    model.subgraphs[0].operators = []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_scale(float("nan")), "a scale that is no positive number"),
        (_scale(0.0), "a scale that is no positive number"),
        (_scale(float("inf")), "a scale that is no positive number"),
        (_far_input, "the inputs of operation 0 are no tensors"),
        (_huge, "its tensors take .* MiB"),
        (_no_operations, "it has no operation"),
    ],
)
def test_tflite_files_that_would_crash_are_refused(folder: Path, tmp_path: Path, change: Any, message: str) -> None:
    """By everything that reads them."""
    path = tmp_path / "model.tflite"
    path.write_bytes(_changed(folder, "model_quantized_int8_io.tflite", change))
    for read in (load_model, profile_model):
        with pytest.raises(UserError, match=message):
            read(path)


def test_custom_operations_are_not_run_but_profiled(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(_changed(folder, "model.tflite", _custom))
    with pytest.raises(UserError, match=r"custom operation 'Evil'.*--trust-model"):
        load_model(path)
    profile = profile_model(path)
    assert "Evil" in profile.operations
    assert profile.tflite_micro is not True


def test_mutated_tflite_files_are_refused_or_sound(folder: Path) -> None:
    """Whatever passes the check can be listed and cut up without any other error."""
    random = np.random.default_rng(0)
    passed = 0
    for name in ("model.tflite", "model_quantized_int8_io.tflite"):
        good = (folder / name).read_bytes()
        for trial in range(400):
            content = bytearray(good)
            if trial % 4 == 0:
                del content[random.integers(8, len(good)) :]
            for place in random.integers(8, len(content), random.integers(1, 6)):
                content[place] = random.integers(256)
            try:
                tflite.check_structure(bytes(content), name)
            except UserError:
                continue
            passed += 1
            tflite_file.operations(bytes(content))
            list(tflite_file.single_operation_models(bytes(content)))
    assert 40 < passed < 760


def test_a_crash_of_the_runtime_ends_its_own_process_only(folder: Path, tmp_path: Path) -> None:
    """A pooling window of 0 x 0 makes LiteRT divide by zero, as unexpected things will."""

    def change(model: Any) -> None:
        for operator in model.subgraphs[0].operators:
            if isinstance(operator.builtinOptions, schema.Pool2DOptionsT):
                operator.builtinOptions.strideW = operator.builtinOptions.strideH = 0

    path = tmp_path / "model.tflite"
    path.write_bytes(_changed(folder, "model.tflite", change))
    with pytest.raises(UserError, match=r"model\.tflite"):
        load_model(path).score(IMAGES)
