"""Where a backbone's weights come from. Keras is loaded for a download only."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fomoad.backbones.architectures import ARCHITECTURES, Architecture
from fomoad.backbones.plain_keras import plain_keras
from fomoad.errors import UserError

BUNDLED_FOLDER: Final = Path(__file__).parents[1] / "weights"
KERAS_DOWNLOADS: Final = "https://storage.googleapis.com/tensorflow/keras-applications"
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

    Raises UserError where there are none.
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
        with plain_keras() as keras:
            return Path(keras.utils.get_file(name, url, cache_subdir="models"))
    except Exception as error:  # Keras passes on whatever the network and the disk raise
        raise UserError(
            f"The ImageNet weights {name} are not in Keras' cache and could not be downloaded: give the container a "
            "network, put the file into KERAS_HOME/models, or use --weights bundled."
        ) from error
