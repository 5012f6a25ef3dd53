"""The tool that makes the bundled weights: the network it trains is Keras', and training lowers the error."""

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from fomoad.backbones.weights import BUNDLED
from tools.pretrain import export, network, training
from tools.pretrain.images import image

SIDE = 32

pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.stack([image(rng, SIDE) for _ in range(24)])


@pytest.mark.parametrize("backbone", BUNDLED)
def test_it_computes_what_keras_computes(backbone: str, images: np.ndarray) -> None:
    arrays = training.calibrate(network.random_arrays(backbone, 3), images)
    alpha = float(backbone.rpartition("-")[2])
    model = keras.applications.MobileNetV2((SIDE, SIDE, 3), alpha=alpha, include_top=False, weights=None)
    taps = [*network.SCORED, "block_3_expand_relu"]
    model = keras.Model(model.input, [model.get_layer(tap).output for tap in taps])
    for variable in model.variables:
        variable.assign(arrays[variable.path])
    pixels = network.scale_pixels(images)
    found = network.run(arrays, pixels, 0, network.LAST, network.stored_norm)
    for tap, expected in zip(taps, model.predict(pixels, verbose=0), strict=True):
        np.testing.assert_allclose(found[tap], expected, rtol=1e-3, atol=1e-4)


def test_both_stages_come_nearer_to_the_teacher(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = "mobilenet-v2-0.35"
    teacher = training.calibrate(network.random_arrays(backbone, 1), images)
    lesson = training.make_lesson(teacher, images, tmp_path)
    untrained = training.calibrate(network.random_arrays(backbone, 2), images)
    monkeypatch.setattr(training, "ROUNDS", ((30, 1e-2, 1),))
    monkeypatch.setattr(training, "SEGMENTS", ((6, network.LAST, 8),))
    blocks = training.train_blocks(lesson, untrained, seed=0)
    assert _error(lesson, blocks, images) < 0.95 * _error(lesson, untrained, images)
    near = _near(teacher)
    whole = training.train_whole(lesson, near, training.Plan(30, 2e-3, 8), seed=1, on_checkpoint=lambda _: None)
    assert _error(lesson, whole, images) < 0.8 * _error(lesson, near, images)


def test_another_teacher_s_features_come_nearer_through_a_map(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random features of a wider network take hours to learn, so this teacher's are within the student's reach."""
    monkeypatch.setattr(training, "OWN", 0)
    teacher = training.calibrate(network.random_arrays("mobilenet-v2-0.35", 1), images)
    student = _near(teacher)
    lesson = training.make_lesson(student, images, None)
    plan = training.Plan(80, 1e-3, 8)
    taught = training.train_wider(lesson, teacher, student, plan, seed=1, on_checkpoint=lambda _: None)
    assert _unexplained(taught, teacher, images) < 0.97 * _unexplained(student, teacher, images)


def test_a_wider_teacher_leaves_an_array_of_every_name(images: np.ndarray) -> None:
    narrow, wide = (network.random_arrays(backbone, 1) for backbone in BUNDLED)
    lesson = training.make_lesson(narrow, images, None)
    plan = training.Plan(1, 1e-3, 8)
    taught = training.train_wider(lesson, wide, narrow, plan, seed=1, on_checkpoint=lambda _: None)
    assert {name: value.shape for name, value in taught.items()} == network.shapes("mobilenet-v2-0.35")


def _near(arrays: network.Arrays) -> network.Arrays:
    """Weights that are off by up to a quarter each."""
    rng = np.random.default_rng(6)
    return {name: np.float32(value * rng.uniform(0.8, 1.25, value.shape)) for name, value in arrays.items()}


def _unexplained(arrays: network.Arrays, wide: network.Arrays, images: np.ndarray) -> float:
    """The share of the scored layers' variance in one network that no linear map of the other's explains, added up."""
    pixels = network.scale_pixels(images)
    given, expected = (network.run(each, pixels, 0, network.LAST, network.stored_norm) for each in (arrays, wide))
    total = 0.0
    for layer in network.SCORED:
        inputs, outputs = (np.reshape(each[layer], (-1, each[layer].shape[-1])) for each in (given, expected))
        total += 1 - float(LinearRegression().fit(inputs, outputs).score(inputs, outputs))
    return total


def _error(lesson: training.Lesson, arrays: network.Arrays, images: np.ndarray) -> float:
    """The missed share of the teacher's variance, all taps together, by NumPy."""
    pixels = network.scale_pixels(images)
    found, expected = (
        network.run(each, pixels, 0, network.LAST, network.stored_norm) for each in (arrays, lesson.teacher)
    )
    return sum(
        float(np.square((np.asarray(found[tap]) - np.asarray(expected[tap])) @ np.asarray(whitener)).sum(-1).mean())
        for tap, whitener in lesson.whiteners.items()
    )


def test_an_image_is_turned_and_recoloured_but_not_changed(images: np.ndarray) -> None:
    seen = set()
    for seed in range(400):
        turned = training.turned(images[:1], np.random.default_rng(seed))
        assert turned.shape == images[:1].shape
        np.testing.assert_array_equal(np.sort(turned, axis=None), np.sort(images[:1], axis=None))
        seen.add(turned.tobytes())
    assert len(seen) == 48


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    backbone = "mobilenet-v2-0.35"
    arrays = network.random_arrays(backbone, 4)
    digest = export.write(arrays, tmp_path / "one.npz")
    assert export.write(arrays, tmp_path / "two.npz") == digest
    for name, value in network.read_weights(tmp_path / "one.npz", backbone).items():
        np.testing.assert_array_equal(value, arrays[name].astype(np.float16))
    arrays["Conv1/kernel"][0] = np.nan
    with pytest.raises(ValueError, match="not finite: Conv1/kernel"):
        export.write(arrays, tmp_path / "one.npz")
    assert export.write(network.read_weights(tmp_path / "two.npz", backbone), tmp_path / "three.npz") == digest
