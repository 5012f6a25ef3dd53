"""Where a backbone's weights come from."""

import hashlib
import os
import re
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from fomoad.backbones.architectures import ARCHITECTURES, Architecture
from fomoad.backbones.weights_file import MOST_BYTES
from fomoad.data.new_file import replace_file
from fomoad.errors import UserError
from fomoad.progress import log, step

BUNDLED_FOLDER: Final = Path(__file__).parents[1] / "weights"
KERAS_DOWNLOADS: Final = "https://storage.googleapis.com/tensorflow/keras-applications"
PIN: Final = "@sha256:"
_DIGEST: Final = re.compile("[0-9a-f]{64}")
KERAS_MD5: Final = {"resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5": "4d473c1dd8becc155b73f8504c6f6626"}
"""Digests of downloads as Keras itself has them (keras/src/applications/resnet.py); it has none for MobileNetV2."""
SECONDS: Final = 60
"""How long a download may stand still."""
BUNDLED: Final = {"mobilenet-v2-0.35": "mobilenet_v2_0.35.npz", "mobilenet-v2-1.0": "mobilenet_v2_1.0.npz"}
BY_DEVICE: Final = {"low-power": "mobilenet-v2-0.35", "high-power": "mobilenet-v2-1.0"}
"""The backbone that suits a device: the wider finds far more, and takes eight times the flash (docs/quality.md)."""


@dataclass(frozen=True)
class Weights:
    """A weights file, what to call its origin, and the backbone that it is for."""

    origin: str
    path: Path
    backbone: str

    def sha256(self) -> str:
        """The file's SHA-256 as hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def find_weights(backbone: str, choice: str, resolution: int, device: str = "low-power") -> Weights:
    """Find the weights that `choice` (auto, imagenet, bundled or a path) means for a backbone.

    `auto` never touches the network: ImageNet weights where Keras' cache has them, else the bundled ones. Any choice
    can end in `@sha256:` and the digest that the file must have; files in SHA256SUMS must have theirs in any case. The
    backbone auto is the one that suits the device.

    Raises UserError where there are none, or their digest is another.
    """
    choice, pin, expected = choice.partition(PIN)
    if pin and not _DIGEST.fullmatch(expected.lower()):
        raise UserError(f"'{expected[:100]}' is no SHA-256: give 64 hexadecimal digits after {PIN}.")
    if backbone == "auto":
        backbone = BY_DEVICE[device]
    weights = _find(backbone, choice, resolution)
    expected = expected.lower() or pinned().get(weights.path.name, "")
    if expected and weights.sha256() != expected:
        raise UserError(
            f"The weights file {weights.path} has the SHA-256 {weights.sha256()}, not {expected}: it was changed or "
            "damaged on its way, so remove it and get a new copy."
        )
    if choice == "imagenet" and not expected:
        log(f"The SHA-256 of {weights.path.name} is not pinned: --weights imagenet{PIN}{weights.sha256()} does so.")
    return weights


def pinned() -> dict[str, str]:
    """Digests of weights files by their names, which fomoad/weights/SHA256SUMS lists as the tool sha256sum does."""
    lines = (BUNDLED_FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _find(backbone: str, choice: str, resolution: int) -> Weights:
    if choice not in ("auto", "imagenet", "bundled"):
        return _given(Path(choice), backbone)
    if choice == "bundled":
        return _bundled(backbone)
    cached = _cached(backbone, resolution)
    if cached.is_file():
        return Weights(f"imagenet ({cached.name})", cached, backbone)
    if choice == "imagenet":
        return Weights(f"imagenet ({cached.name})", _download(ARCHITECTURES[backbone], cached.name), backbone)
    if backbone in BUNDLED:
        return _bundled(backbone)
    raise UserError(
        f"No ImageNet weights for {backbone} lie in {cached.parent} and none are bundled for it: allow the download "
        "with --weights imagenet, name a Keras weights file with --weights, or use --backbone "
        f"{' or '.join(BUNDLED)}."
    )


def _cached(backbone: str, resolution: int) -> Path:
    """Where Keras keeps a backbone's weights of this resolution, or of the highest where there are none of it."""
    architecture = ARCHITECTURES[backbone]
    if resolution not in architecture.resolutions:
        resolution = max(architecture.resolutions)
    return keras_home() / "models" / architecture.weights_file(resolution)


def keras_home() -> Path:
    """The folder in which Keras keeps what it downloads."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path("~/.keras").expanduser()


def _given(path: Path, backbone: str) -> Weights:
    if not path.is_file():
        raise UserError(f"The weights file {path} does not exist: give auto, imagenet, bundled or a file's path.")
    if path.suffix not in (".h5", ".npz"):
        raise UserError(f"The weights file {path} is neither .h5 nor .npz: give Keras weights as a .h5 file.")
    return Weights(path.name, path, backbone)


def _bundled(backbone: str) -> Weights:
    if backbone not in BUNDLED:
        raise UserError(f"No weights are bundled for {backbone}: only for {', '.join(BUNDLED)}.")
    return Weights("bundled", BUNDLED_FOLDER / BUNDLED[backbone], backbone)


def _download(architecture: Architecture, name: str) -> Path:
    """Download a weights file to where Keras keeps it: it appears there whole, or not at all."""
    path = keras_home() / "models" / name
    try:
        with step(f"Downloading {name}"):
            content = _fetch(f"{KERAS_DOWNLOADS}/{architecture.folder}/{name}", KERAS_MD5.get(name))
            replace_file(path, content)
    except (OSError, HTTPException) as error:
        raise UserError(
            f"The ImageNet weights {name} are not in Keras' cache and could not be downloaded ({error}): give the "
            "container a network, put the file into KERAS_HOME/models, or use --weights bundled."
        ) from error
    return path


def _fetch(url: str, md5: str | None) -> bytes:
    """Read a file from the network. Raises OSError where it is not to be had, cut off, or another than the digest's."""
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        content: bytes = response.read(MOST_BYTES)
        length = response.headers.get("Content-Length")
    if length is not None and int(length) != len(content):
        raise OSError(f"{len(content)} of {length} bytes came")
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise OSError("its digest is not the one that Keras has")
    return content
