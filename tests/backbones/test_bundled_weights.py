"""The weights in the package: whole, plain, described, and better than none."""

import hashlib
import re
import zipfile

import keras
import numpy as np
import pytest

from fomoad.backbones import graph, load
from fomoad.backbones.weights import BUNDLED, BUNDLED_FOLDER, BY_DEVICE, find_weights

CARD = BUNDLED_FOLDER / "README.md"


@pytest.fixture(scope="module", params=BUNDLED)
def backbone(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def arrays(backbone: str) -> dict[str, np.ndarray]:
    with np.load(BUNDLED_FOLDER / BUNDLED[backbone], allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def test_the_backbone_of_every_device_has_some() -> None:
    assert set(BY_DEVICE.values()) == set(BUNDLED)


def test_every_variable_up_to_the_sixteenth_is_there_in_keras_shape(
    backbone: str, arrays: dict[str, np.ndarray]
) -> None:
    alpha = float(backbone.rpartition("-")[2])
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=alpha, include_top=False, weights=None)
    cut = keras.Model(model.input, model.get_layer("block_10_expand_relu").output)
    expected = {variable.path: tuple(variable.shape) for variable in cut.variables}
    assert {name: value.shape for name, value in arrays.items()} == expected


def test_values_are_finite_numbers_and_variances_positive(arrays: dict[str, np.ndarray]) -> None:
    assert all(np.isfinite(value).all() for value in arrays.values())
    assert all((value > 0).all() for name, value in arrays.items() if name.endswith("moving_variance"))


def test_the_file_is_small_and_holds_no_pickle(backbone: str) -> None:
    file = BUNDLED_FOLDER / BUNDLED[backbone]
    assert file.stat().st_size < 1_000_000
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            header = archive.read(name)[:128]
            assert header.startswith(b"\x93NUMPY")
            assert re.search(rb"'descr': '<f[24]'", header)


def test_the_card_names_this_very_file(backbone: str) -> None:
    content = (BUNDLED_FOLDER / BUNDLED[backbone]).read_bytes()
    assert hashlib.sha256(content).hexdigest() in CARD.read_text()


def test_features_are_alive_on_a_picture(backbone: str) -> None:
    """Most channels of every scored layer vary over an image: a collapsed network would pass the tests above."""
    layers = ("block_3_expand_relu", "block_6_expand_relu", "block_10_expand_relu")
    network = load.load(backbone, find_weights(backbone, "bundled", 96), (96, 96, 3), "-1..1", layers)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 3)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    for features in graph.run(network, image).values():
        varying = np.asarray(features).std((0, 1, 2)) > 1e-3
        assert varying.mean() > 0.6
