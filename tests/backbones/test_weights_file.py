"""Weights files: those that Keras writes are read, and what is damaged, foreign or hostile is refused in a sentence."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from fomoad.backbones import load
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.weights import Weights
from fomoad.backbones.weights_file import read
from fomoad.errors import UserError
from tests.support.backbones import BACKBONE, fresh_arrays

PLAN = ARCHITECTURES[BACKBONE].plan
FILLED = [layer for layer in PLAN if layer.arrays()]
EVERY = {layer.name for layer in PLAN}
FIRST = "Conv1/Conv1/kernel"
KERAS = {
    **{
        f"mobilenet-v2-{width}": lambda width=width: keras.applications.MobileNetV2(
            (32, 32, 3), alpha=width, include_top=False, weights=None
        )
        for width in (0.35, 0.5, 0.75, 1.0)
    },
    "resnet50": lambda: keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3)),
}


def write(path: Path, arrays: dict[str, np.ndarray], prefix: str = "") -> None:
    """A file as Keras' `save` lays it out."""
    with h5py.File(path, "w") as file:
        group = file.create_group(prefix) if prefix else file
        group.attrs["layer_names"] = np.array([layer.name for layer in PLAN], "S")  # as older versions of Keras do
        for layer in PLAN:
            names = [f"{layer.name}/{name}" for name in layer.arrays()]
            inside = group.create_group(layer.name)
            inside.attrs["weight_names"] = names
            for name in names:
                inside[name] = arrays[name]


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        name: value + random.uniform(0, 1, value.shape).astype(np.float32) for name, value in fresh_arrays().items()
    }


@pytest.fixture
def file(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A file that is read; tests damage it."""
    write(tmp_path / "weights.h5", arrays)
    return tmp_path / "weights.h5"


def test_the_plans_list_keras_arrays_in_keras_order() -> None:
    assert KERAS.keys() == ARCHITECTURES.keys()
    for name, build in KERAS.items():
        arrays = [
            (f"{layer.name}/{array}", shape)
            for layer in ARCHITECTURES[name].plan
            for array, shape in layer.arrays().items()
        ]
        variables = [variable for layer in build().layers for variable in layer.weights]
        assert arrays == [(variable.path, tuple(variable.shape)) for variable in variables]


def test_files_that_keras_writes_are_read(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """By `save` and by `save_weights`; half precision and names of an older version are read, too."""
    model = KERAS[BACKBONE]()
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(arrays[variable.path])
    model.save(tmp_path / "saved.h5")
    model.save_weights(tmp_path / "saved.weights.h5")
    write(tmp_path / "nested.h5", arrays, "model_weights")
    np.savez(tmp_path / "saved.npz", **arrays)
    for name in ("saved.h5", "saved.weights.h5", "nested.h5", "saved.npz"):
        found = read(tmp_path / name, BACKBONE, PLAN, EVERY)
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[key], value) for key, value in arrays.items()), name


def test_only_what_is_wanted_is_returned(file: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(file, "a") as content:
        half = content[FIRST][()].astype(np.float16)
        del content[FIRST]
        content[FIRST] = half
        content.move("bn_Conv1", "of_another_name")
        names = content.attrs["layer_names"].astype("U")
        content.attrs["layer_names"] = np.where(names == "bn_Conv1", "of_another_name", names).astype("S")
    found = read(file, BACKBONE, PLAN, {"Conv1", "bn_Conv1"})
    assert list(found) == [f"{layer.name}/{name}" for layer in PLAN[:2] for name in layer.arrays()]
    assert found["Conv1/kernel"].dtype == np.float32
    np.testing.assert_array_equal(found["Conv1/kernel"], half)
    np.testing.assert_array_equal(found["bn_Conv1/beta"], arrays["bn_Conv1/beta"])


def _replace(file: h5py.File, value: object, **options: object) -> None:
    del file[FIRST]
    if isinstance(value, np.ndarray):
        file.create_dataset(FIRST, data=value, **options)
    else:
        file[FIRST] = value


def _without_last_layer(file: h5py.File) -> None:
    file.attrs["layer_names"] = file.attrs["layer_names"][:-3]


def _with_top(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.append(file.attrs["layer_names"], b"predictions")
    top = file.create_group("predictions")
    top["predictions/kernel"] = np.zeros((1280, 1000), np.float32)
    top.attrs["weight_names"] = ["predictions/kernel"]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 3, 3, 16), "f4")
    layout[...] = h5py.VirtualSource("/etc/other.h5", "x", (3, 3, 3, 16))
    del file[FIRST]
    file.create_virtual_dataset(FIRST, layout)


def _external(file: h5py.File) -> None:
    del file[FIRST]
    file.create_dataset(FIRST, (3, 3, 3, 16), "f4", external=[("/etc/passwd", 0, 1728)])


KERNEL = np.zeros((3, 3, 3, 16), np.float32)
DAMAGE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "missing array": (lambda file: file.__delitem__(FIRST), "Conv1/kernel is missing"),
    "missing group": (lambda file: file.__delitem__("block_3_expand"), "block_3_expand is missing"),
    "missing layer": (_without_last_layer, "it holds 102 layers with weights, not 104"),
    "top": (_with_top, "it holds 105 layers with weights, not 104"),
    "no list": (lambda file: file.attrs.__delitem__("layer_names"), "layers is missing"),
    "no list of arrays": (lambda file: file["Conv1"].attrs.__delitem__("weight_names"), "weight_names"),
    "list of numbers": (lambda file: file.attrs.__setitem__("layer_names", np.arange(3.0)), "0.0 is missing"),
    "list of nothing": (lambda file: file.attrs.__setitem__("layer_names", h5py.Empty("f4")), "are no list"),
    "endless list": (lambda file: file.attrs.__setitem__("layer_names", np.zeros(10_001, "i1")), "are no list"),
    "more arrays": (lambda file: file["Conv1"].attrs.__setitem__("weight_names", ["Conv1/kernel"] * 2), "2 arrays"),
    "shape": (lambda file: _replace(file, KERNEL[:2]), r"\(2, 3, 3, 16\), not \(3, 3, 3, 16\)"),
    "integers": (lambda file: _replace(file, KERNEL.astype(np.int32)), "Conv1/kernel is no array of floats"),
    "bomb": (lambda file: _replace(file, KERNEL, compression="gzip"), "Conv1/kernel is packed"),
    "virtual": (_virtual, "Conv1/kernel is packed"),
    "external": (_external, "Conv1/kernel is packed"),
    "group": (lambda file: (file.__delitem__(FIRST), file.create_group(FIRST)), "Conv1/kernel is no array of floats"),
    "broken link": (lambda file: _replace(file, h5py.SoftLink("/Conv1/other")), "is a link"),
    "link": (lambda file: (file.move(FIRST, "k"), file.__setitem__(FIRST, h5py.SoftLink("/k"))), "is a link"),
    "external link": (lambda file: _replace(file, h5py.ExternalLink("weights.h5", "/bn_Conv1")), "is a link"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_fit_is_said_in_one_sentence(file: Path, damage: str) -> None:
    change, says = DAMAGE[damage]
    with h5py.File(file, "a") as content:
        change(content)
    with pytest.raises(UserError, match=rf"weights\.h5 does not fit the backbone {BACKBONE}: .*{says}") as error:
        read(file, BACKBONE, PLAN, EVERY)
    assert "\n" not in str(error.value)


def test_links_of_a_whole_file_to_another_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """In the layout of `save_weights`, too, where a group's members are counted."""
    with h5py.File(tmp_path / "links.weights.h5", "w") as file:
        file["layers"] = h5py.ExternalLink("other.h5", "/layers")
    write(tmp_path / "other.h5", arrays)
    with pytest.raises(UserError, match="does not fit"):
        read(tmp_path / "links.weights.h5", BACKBONE, PLAN, EVERY)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_file_that_is_cut_off_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], suffix: str, share: float
) -> None:
    path = tmp_path / f"cut{suffix}"
    write(path, arrays) if suffix == ".h5" else np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="does not fit"):
        read(path, BACKBONE, PLAN, EVERY)


def test_another_width_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match=r"Conv1/kernel has the shape \(3, 3, 3, 16\), not \(3, 3, 3, 32\)"):
        load.load("mobilenet-v2-1.0", Weights("x", file, "mobilenet-v2-1.0"), (32, 32, 3), "0..1", ("Conv1_relu",))
    with pytest.raises(UserError, match="it holds 104 layers with weights, not 106"):
        load.load("resnet50", Weights("x", file, "resnet50"), (32, 32, 3), "0..1", ("conv1_relu",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Conv1/kernel": np.zeros((3, 3, 3, 24), np.float32)}, "has the shape"),
        ({"Conv1/kernel": np.zeros((3, 3, 3, 16), np.int8)}, "Conv1/kernel holds int8"),
        ({"elsewhere/kernel": np.zeros(3, np.float32)}, "the backbone has no elsewhere/kernel"),
        ({"Conv1/kernel": np.array([{}], object)}, "allow_pickle"),
        ({"Conv1/kernel": None}, "Conv1/kernel is missing"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], change: dict[str, np.ndarray | None], says: str
) -> None:
    np.savez(tmp_path / "x.npz", **{name: value for name, value in (arrays | change).items() if value is not None})
    with pytest.raises(UserError, match=says):
        read(tmp_path / "x.npz", BACKBONE, PLAN, EVERY)


def test_layers_past_those_that_are_wanted_may_be_missing(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "x.npz", **{name: value for name, value in arrays.items() if name.startswith("Conv1/")})
    assert list(read(tmp_path / "x.npz", BACKBONE, PLAN, {"Conv1"})) == ["Conv1/kernel"]
