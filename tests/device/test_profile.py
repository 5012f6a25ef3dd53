"""The profile, held against hand counts, the file system and TFLite Micro itself."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fomoad.device import costs, micro, profile
from fomoad.errors import UserError
from fomoad.export import tflite_file

needs_tflite_micro = pytest.mark.skipif(not micro.available(), reason="TFLite Micro's interpreter is not installed")


def _weights(*shape: int) -> Any:
    random = np.random.default_rng(0)
    return random.normal(size=shape).astype(np.float32)


def _convert(function: Callable[[Any], Any], shape: tuple[int, ...], path: Path, int8: bool = False) -> Path:
    traced = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], traced)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([_weights(*shape)] for _ in range(4))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


def _small_network(images: Any) -> Any:
    """8 x 8 x 3 in: convolution to 4 x 4 x 6, depthwise 4 x 4 x 6, dense 96 to 10."""
    x = tf.nn.relu6(tf.nn.conv2d(images, _weights(3, 3, 3, 6), 2, "SAME"))
    x = tf.nn.depthwise_conv2d(x, _weights(3, 3, 6, 1), [1, 1, 1, 1], "SAME")
    return tf.reshape(x, (1, 96)) @ _weights(96, 10)


SMALL_NETWORK_MACS = 4 * 4 * 6 * (3 * 3 * 3) + 4 * 4 * 6 * (3 * 3) + 96 * 10


@pytest.mark.parametrize(("int8", "precision"), [(False, "float32"), (True, "int8")])
def test_macs_and_flash_of_a_small_network(tmp_path: Path, int8: bool, precision: str) -> None:
    path = _convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite", int8)
    result = profile.profile_model(path)
    assert result.macs == SMALL_NETWORK_MACS
    assert result.macs_by_precision == {precision: SMALL_NETWORK_MACS}
    assert result.flash_bytes == path.stat().st_size
    assert {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1}.items() <= result.operations.items()


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (lambda x: tf.matmul(x, x, transpose_b=True), (1, 2, 5, 7), 2 * 5 * 5 * 7),
        (lambda x: tf.nn.conv2d_transpose(x, _weights(2, 2, 3, 4), (1, 12, 12, 3), 2), (1, 6, 6, 4), 6 * 6 * 4 * 12),
        (lambda x: tf.nn.conv2d(x, _weights(3, 3, 2, 8), 1, "VALID"), (1, 6, 6, 4), 4 * 4 * 8 * (3 * 3 * 2)),
        (lambda x: tf.exp(x) + 1.0, (1, 4, 4, 2), 0),
    ],
    ids=["matrix product", "transposed convolution", "grouped convolution", "no products"],
)
def test_macs_by_hand(tmp_path: Path, function: Callable[[Any], Any], shape: tuple[int, ...], expected: int) -> None:
    path = _convert(function, shape, tmp_path / "model.tflite")
    operations = tflite_file.operations(path.read_bytes())
    assert sum(costs.macs(operation) for operation in operations) == expected


@needs_tflite_micro
@pytest.mark.parametrize("int8", [False, True])
def test_the_reported_arena_is_the_smallest_that_works(tmp_path: Path, int8: bool) -> None:
    from tflite_micro.python.tflite_micro import runtime

    path = _convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite", int8)
    result = profile.profile_model(path)
    assert result.tflite_micro is True
    assert result.arena_bytes is not None
    interpreter = runtime.Interpreter.from_file(path, arena_size=result.arena_bytes)
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_file(path, arena_size=result.arena_bytes - 16)


@needs_tflite_micro
def test_edge_impulse_holds_the_image_as_floats_beside_the_arena(tmp_path: Path) -> None:
    result = profile.profile_model(_convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite", int8=True))
    assert result.arena_bytes is not None
    assert result.image_copy_bytes == 4 * 8 * 8 * 3
    assert result.ram("tflite-micro") == result.arena_bytes
    assert result.ram("edge-impulse") == result.arena_bytes + 768
    assert f"{result.arena_bytes + 768:,} bytes" in profile.table(result)


@needs_tflite_micro
def test_an_operation_that_only_edge_impulse_registers_is_said_to_run_there(tmp_path: Path) -> None:
    path = _convert(lambda x: tf.math.top_k(x, 3).values, (1, 8), tmp_path / "model.tflite")
    result = profile.profile_model(path)
    assert (result.tflite_micro, result.edge_impulse) == (False, True)
    assert "yes: its library registers TOPK_V2" in profile.table(result)
    other = profile.profile_model(_convert(lambda x: tf.math.atan2(x, x + 2.0), (1, 4), path))
    assert (other.tflite_micro, other.edge_impulse) == (False, False)


@needs_tflite_micro
def test_operations_that_tflite_micro_lacks_are_all_named(tmp_path: Path) -> None:
    path = _convert(lambda x: tf.math.sign(tf.math.atan2(x, x + 2.0)), (1, 4), tmp_path / "model.tflite")
    result = profile.profile_model(path)
    assert result.tflite_micro is False
    assert result.arena_bytes is None
    assert {blocker.operation for blocker in result.blocking} == {"ATAN2", "SIGN"}


@needs_tflite_micro
def test_an_operation_that_only_fails_for_its_types_is_named(tmp_path: Path) -> None:
    """TFLite Micro knows convolutions, but not those of floating-point values with int8 weights."""
    kernel = _weights(3, 3, 16, 32)
    traced = tf.function(
        lambda x: tf.exp(tf.nn.conv2d(x, kernel, 1, "SAME")), input_signature=[tf.TensorSpec((1, 8, 8, 16), tf.float32)]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], traced)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    result = profile.profile_model(path)
    assert result.macs_by_precision == {costs.HYBRID: 8 * 8 * 32 * 3 * 3 * 16}
    assert [blocker.operation for blocker in result.blocking] == ["CONV_2D"]


def test_without_tflite_micro_the_arena_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)  # how Python marks a package that is not there
    result = profile.profile_model(_convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite"))
    assert (result.arena_bytes, result.tflite_micro, result.blocking) == (None, None, [])
    assert "not installed" in str(result.not_measured)


@needs_tflite_micro
def test_an_error_of_the_interpreter_s_own_is_named_by_its_last_line() -> None:
    """Not by the word that a traceback begins with."""
    assert str(micro.measure(b"no model", 4096).failure).startswith("struct.error")


def test_single_operation_models_give_what_the_whole_gives(tmp_path: Path) -> None:
    """Feeding each cut-out operation with the last one's output must lead to the whole model's output."""
    from ai_edge_litert.interpreter import Interpreter

    def run(content: bytes, values: Any) -> Any:
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    content = _convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite").read_bytes()
    image = _weights(1, 8, 8, 3)
    values = image
    for _, alone in tflite_file.single_operation_models(content):
        values = run(alone, values)
    np.testing.assert_allclose(values, run(content, image), rtol=1e-5, atol=1e-5)


FLOAT, INT8 = "float32", "int8"


def _values(shape: tuple[int, ...], dtype: str, constant: bool = False) -> tflite_file.Tensor:
    return tflite_file.Tensor(shape, dtype, constant)


def _layer(name: str, kernel: tuple[int, ...], dtype: str, side: int, channels: int) -> tflite_file.Operation:
    inputs = (_values((1, 8, 8, 4), dtype), _values(kernel, dtype, True))
    return tflite_file.Operation(name, inputs, (_values((1, side, side, channels), dtype),))


@pytest.mark.parametrize(
    ("operation", "instructions"),
    [
        (_layer("CONV_2D", (6, 1, 1, 4), INT8, 8, 6), (1.42 * 8 * 8 * 6 * 4 + 37 * 8 * 8 * 6, 0.18 * 1536 + 16 * 384)),
        (_layer("CONV_2D", (6, 3, 3, 4), INT8, 4, 6), (4.9 * 4 * 4 * 6 * 36, 1.6 * 3456)),
        (_layer("DEPTHWISE_CONV_2D", (1, 3, 3, 4), INT8, 8, 4), (86 * 256, 25 * 256)),
        (_layer("CONV_2D", (6, 1, 1, 4), FLOAT, 8, 6), (6.7 * 1536, 4.9 * 1536)),
        (tflite_file.Operation("EXP", (_values((1, 9), FLOAT),), (_values((1, 9), FLOAT),)), (60 * 9, 45 * 9)),
        (tflite_file.Operation("SUM", (_values((1, 9), FLOAT),), (_values((1, 1), FLOAT),)), (130 * 9, 130 * 9)),
        (
            tflite_file.Operation("AVERAGE_POOL_2D", (_values((1, 8, 8, 2), INT8),), (_values((1, 4, 4, 2), INT8),), 4),
            (85 * 32, 85 * 32),
        ),
        (
            tflite_file.Operation(
                "AVERAGE_POOL_2D", (_values((1, 8, 8, 2), INT8),), (_values((1, 2, 2, 2), INT8),), 16
            ),
            (132 * 8, 116 * 8),
        ),
        (tflite_file.Operation("ADD", (_values((1, 9), INT8),) * 2, (_values((1, 9), INT8),)), (80 * 9, 14 * 9)),
    ],
    ids=["1 x 1", "3 x 3", "depthwise", "float 1 x 1", "EXP", "SUM", "2 x 2", "4 x 4", "int8 ADD"],
)
def test_instructions_by_hand(operation: tflite_file.Operation, instructions: tuple[float, float]) -> None:
    m4, _, m55, _ = costs.latencies([operation])
    for latency, expected, per_instruction in ((m4, instructions[0], 1.45), (m55, instructions[1], 1.2)):
        assert sum(latency.instructions.values()) == round(expected)
        cycles = round(expected) * per_instruction
        assert latency.milliseconds == pytest.approx(1000 * cycles / latency.clock_hz, abs=1e-3)
        assert latency.basis


def test_a_small_network_s_instructions_are_those_of_its_layers(tmp_path: Path) -> None:
    """The stem 3 x 3, then depthwise, then 96 x 10 products; what else the converter adds is of little weight."""
    result = profile.profile_model(_convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite", int8=True))
    found = result.latency[0].instructions
    assert found["CONV_2D, int8"] == round(4.9 * 4 * 4 * 6 * 27)
    assert found["DEPTHWISE_CONV_2D, int8"] == 86 * 96
    assert found["FULLY_CONNECTED, int8"] == round(1.42 * 960 + 370)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_pooling_s_window_is_read_from_the_file(tmp_path: Path) -> None:
    path = _convert(lambda x: tf.nn.avg_pool2d(x, (3, 2), 1, "VALID"), (1, 8, 8, 3), tmp_path / "model.tflite")
    [pooling] = [each for each in tflite_file.operations(path.read_bytes()) if each.name == "AVERAGE_POOL_2D"]
    assert pooling.window == 6


def test_json_on_a_pipe_and_without_tensorflow(tmp_path: Path) -> None:
    path = _convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite")
    program = (
        "import sys, pathlib; from fomoad.device import profile; profile.command(pathlib.Path(sys.argv[1]), False);"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["macs"] == SMALL_NETWORK_MACS


def test_the_table_says_what_the_json_says(tmp_path: Path) -> None:
    result = profile.profile_model(_convert(_small_network, (1, 8, 8, 3), tmp_path / "model.tflite"))
    text = profile.table(result)
    for part in (f"{result.flash_bytes:,} bytes", f"{result.macs:,}", "1 CONV_2D", "Cortex-M4F at 80 MHz (estimate)"):
        assert part in text


@pytest.mark.parametrize(("name", "content"), [("absent.tflite", None), ("other.tflite", b"not a model at all")])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        profile.profile_model(path)
