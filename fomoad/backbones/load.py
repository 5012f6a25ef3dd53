"""Feature extractors: a name to a network cut at named layers, and where its weights come from."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from fomoad.backbones import graph
from fomoad.backbones.graph import Network
from fomoad.data import scaling
from fomoad.data.scaling import Affine
from fomoad.errors import UserError

BUNDLED_FOLDER: Final = Path(__file__).parents[1] / "weights"
KERAS_DOWNLOADS: Final = "https://storage.googleapis.com/tensorflow/keras-applications"

Build = Callable[[tuple[int, int, int]], Any]


@dataclass(frozen=True)
class Architecture:
    """A Keras Applications model as fomoad uses it.

    `grid_layer` is the output at 1/8 of the input's side whose grid others are resized to. `mixture_layers` are those
    that a mixture's features are joined from, the first n of `bank_layers` those of PatchCore with n layers.
    MobileNetV2's are 3x3 depthwise convolutions besides, of a stride of 2: that of the layer at 1/8 and that of the one
    at 1/4. They cost next to nothing and find more than later layers (docs/quality.md). `expects` is the
    scaling of pixels that the ImageNet weights were trained with. `file` is the name of Keras' weights file, with
    `{resolution}` where there is one for each, and `folder` the folder that Keras downloads it from.
    """

    build: Build
    grid_layer: str
    mixture_layers: tuple[str, ...]
    bank_layers: tuple[str, str, str]
    expects: str
    file: str
    folder: str
    resolutions: tuple[int, ...]

    def weights_file(self, resolution: int) -> str:
        """The name under which Keras keeps the ImageNet weights that were trained at `resolution`."""
        return self.file.format(resolution=resolution)


def _mobilenet_v2(alpha: float) -> Architecture:
    def build(shape: tuple[int, int, int]) -> Any:
        return keras.applications.MobileNetV2(shape, alpha=alpha, include_top=False, weights=None)

    return Architecture(
        build=build,
        grid_layer="block_6_expand_relu",
        mixture_layers=("block_6_expand_relu", "block_6_depthwise_relu"),
        bank_layers=("block_6_expand_relu", "block_3_depthwise_relu", "block_3_expand_relu"),
        expects="-1..1",
        file=f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{{resolution}}_no_top.h5",
        folder="mobilenet_v2",
        resolutions=(96, 128, 160, 192, 224),
    )


def _resnet50() -> Architecture:
    def build(shape: tuple[int, int, int]) -> Any:
        return keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)

    return Architecture(
        build=build,
        grid_layer="conv3_block4_out",
        mixture_layers=("conv3_block4_out", "conv4_block6_out"),
        bank_layers=("conv3_block4_out", "conv2_block3_out", "conv4_block6_out"),
        expects="bgr-subtract-imagenet-mean",
        file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        folder="resnet",
        resolutions=(224,),
    )


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "mobilenet-v2-0.35": _mobilenet_v2(0.35),
    "mobilenet-v2-0.5": _mobilenet_v2(0.5),
    "mobilenet-v2-0.75": _mobilenet_v2(0.75),
    "mobilenet-v2-1.0": _mobilenet_v2(1.0),
    "resnet50": _resnet50(),
}
BUNDLED: Final = {"mobilenet-v2-0.35": "mobilenet_v2_0.35.npz"}


@dataclass(frozen=True)
class Weights:
    """A weights file and what to call its origin."""

    origin: str
    path: Path

    def sha256(self) -> str:
        """The file's SHA-256 as hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def find_weights(backbone: str, choice: str, resolution: int) -> Weights:
    """Find the weights that `choice` (auto, imagenet, bundled or a path) means for a backbone.

    `auto` never touches the network: ImageNet weights where Keras' cache has them, else the bundled ones.

    Raises UserError where there are none to be had.
    """
    architecture = ARCHITECTURES[backbone]
    if choice not in ("auto", "imagenet", "bundled"):
        return _given(Path(choice))
    if choice == "bundled":
        return _bundled(backbone)
    if resolution not in architecture.resolutions:
        resolution = max(architecture.resolutions)
    name = architecture.weights_file(resolution)
    cached = keras_home() / "models" / name
    if cached.is_file():
        return Weights(f"imagenet ({name})", cached)
    if choice == "imagenet":
        return Weights(f"imagenet ({name})", _download(architecture, name))
    if backbone in BUNDLED:
        return _bundled(backbone)
    raise UserError(
        f"No ImageNet weights for {backbone} lie in {cached.parent} and none are bundled for it: allow the download "
        "with --weights imagenet, name a Keras weights file with --weights, or use --backbone "
        f"{next(iter(BUNDLED))}."
    )


def keras_home() -> Path:
    """The folder in which Keras keeps what it downloads."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path("~/.keras").expanduser()


def load(
    backbone: str,
    weights: Weights,
    input_shape: tuple[int, int, int],
    input_scaling: str,
    layers: tuple[str, ...],
) -> Network:
    """Build a backbone for images (height, width, channels) of the given scaling, cut at `layers`.

    Raises UserError where the weights file does not fit the backbone.
    """
    architecture = ARCHITECTURES[backbone]
    model = architecture.build((*input_shape[:2], 3))
    load_into(model, weights.path)
    return cut(model, architecture, input_shape, input_scaling, layers)


def cut(
    model: Any,
    architecture: Architecture,
    input_shape: tuple[int, int, int],
    input_scaling: str,
    layers: tuple[str, ...],
) -> Network:
    """Fold a Keras model of an architecture into a network that ends at `layers`."""
    channels = input_shape[2]
    source = scaling.affine(input_scaling, channels)
    return graph.fold(model, layers, _between(source, scaling.affine(architecture.expects, 3)), channels)


def load_into(model: Any, path: Path) -> None:
    """Load a Keras .h5 file or a bundled .npz file of arrays into a Keras model.

    Raises UserError for a file that cannot be read or does not fit.
    """
    try:
        if path.suffix == ".npz":
            _load_arrays(model, path)
        else:
            model.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The weights file {path} does not fit the backbone {model.name}: {reason}; give a .h5 file of the "
            "same Keras Applications model without its top."
        ) from error


def _load_arrays(model: Any, path: Path) -> None:
    """Set every variable that the file names; layers past the last one that it holds stay as they are."""
    with np.load(path, allow_pickle=False) as arrays:
        variables = {variable.path: variable for layer in model.layers for variable in layer.weights}
        for name in arrays.files:
            variables[name].assign(arrays[name].astype(np.float32))


def _between(source: Affine, target: Affine) -> Affine:
    """The map from images scaled as `source` says to those scaled as `target` says."""
    flip = len(source.scale) == 3 and source.reversed_channels != target.reversed_channels
    order = slice(None, None, -1) if flip else slice(None)
    from_scale, from_offset = (v.astype(np.float64)[order] for v in (source.scale, source.offset))
    scale = target.scale / from_scale
    offset = target.offset - from_offset * scale
    return Affine(scale.astype(np.float32), offset.astype(np.float32), flip)


def _given(path: Path) -> Weights:
    if not path.is_file():
        raise UserError(f"The weights file {path} does not exist: give auto, imagenet, bundled or a file's path.")
    if path.suffix not in (".h5", ".npz"):
        raise UserError(f"The weights file {path} is neither .h5 nor .npz: give Keras weights as a .h5 file.")
    return Weights(path.name, path)


def _bundled(backbone: str) -> Weights:
    if backbone not in BUNDLED:
        raise UserError(f"No weights are bundled for {backbone}: only for {', '.join(BUNDLED)}.")
    return Weights("bundled", BUNDLED_FOLDER / BUNDLED[backbone])


def _download(architecture: Architecture, name: str) -> Path:
    url = f"{KERAS_DOWNLOADS}/{architecture.folder}/{name}"
    try:
        return Path(keras.utils.get_file(name, url, cache_subdir="models"))
    except Exception as error:  # Keras passes on whatever the network and the disk raise
        raise UserError(
            f"The ImageNet weights {name} are not in Keras' cache and could not be downloaded: give the container a "
            "network, put the file into KERAS_HOME/models, or use --weights bundled."
        ) from error
