"""Fetches Keras' MobileNetV2 ImageNet weights for 96 x 96 pixels, while the image is built.

    python fetch_weights.py FOLDER [--required 1] [--sums SHA256SUMS]

Without a network the build goes on: the block then uses its bundled weights. With --required 1 it fails.
A file counts only once its size, its structure and its values are right, and its SHA-256 is that of --sums where that
lists it; SHA256SUMS in FOLDER records what was taken. Keras publishes no digests of these files: take those that a
first build prints into fomoad/weights/SHA256SUMS, and every later build and training refuses others.
"""

import argparse
import hashlib
import sys
import urllib.request
from pathlib import Path

SOURCE = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_96_no_top.h5"
PARAMETERS = {"0.35": 410_208, "0.5": 706_224, "0.75": 1_382_064, "1.0": 2_257_984}
"""Numbers in each network without its top, by its width: what the file must hold, no more and no less."""
MOST_OVERHEAD = 2 * 2**20
"""Bytes that names and layout may add to 4 bytes a number."""
SECONDS = 60


def main() -> int:
    """Fetch all files or none, and say so in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--required", choices=("0", "1"), default="0")
    parser.add_argument("--sums", type=Path)
    arguments = parser.parse_args()
    pinned = read_sums(arguments.sums) if arguments.sums else {}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        files = {NAME.format(alpha=alpha): fetch(alpha) for alpha in PARAMETERS}
        for name, content in files.items():
            check_digest(name, content, pinned)
    except (OSError, ValueError, KeyError) as error:
        print(f"ImageNet weights could not be fetched ({error}): the image has the bundled weights only.", flush=True)
        return int(arguments.required)
    sums = ""
    for name, content in files.items():
        (arguments.folder / name).write_bytes(content)
        sums += f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    (arguments.folder / "SHA256SUMS").write_text(sums)
    print(f"ImageNet weights fetched:\n{sums}", end="", flush=True)
    return 0


def read_sums(path: Path) -> dict[str, str]:
    """Digests by file names, from a list of the tool sha256sum."""
    return {name: digest for digest, _, name in (line.partition("  ") for line in path.read_text().splitlines())}


def check_digest(name: str, content: bytes, pinned: dict[str, str]) -> None:
    """Raise ValueError where a digest is pinned and the content's is another."""
    digest = hashlib.sha256(content).hexdigest()
    if pinned.get(name, digest) != digest:
        raise ValueError(f"{name} has the SHA-256 {digest}, not {pinned[name]}")


def fetch(alpha: str) -> bytes:
    """Download and check one file. Raises OSError or ValueError where it cannot be had or is not what it should be."""
    most = 4 * PARAMETERS[alpha] + MOST_OVERHEAD
    with urllib.request.urlopen(f"{SOURCE}/{NAME.format(alpha=alpha)}", timeout=SECONDS) as response:
        content: bytes = response.read(most + 1)
    check(content, PARAMETERS[alpha], most)
    return content


def check(content: bytes, parameters: int, most: int) -> None:
    """Raise ValueError unless `content` is an HDF5 file of Keras weights with so many finite numbers."""
    import io

    import h5py
    import numpy as np

    if not 4 * parameters <= len(content) <= most:
        raise ValueError(f"{len(content)} bytes are no file of {parameters} numbers")
    found = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        for layer in file.attrs["layer_names"]:
            group = file[layer]
            for name in group.attrs["weight_names"]:
                values = np.asarray(group[name])
                if values.dtype != np.float32 or not np.isfinite(values).all():
                    raise ValueError(f"{name!r} does not hold finite float32 numbers")
                found += values.size
    if found != parameters:
        raise ValueError(f"the file holds {found} numbers, not {parameters}")


if __name__ == "__main__":
    sys.exit(main())
