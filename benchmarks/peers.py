"""fomoad and its peers on the same images: `python -m benchmarks.peers DATA --work FOLDER --peer-python PYTHON`.

Contestants run one after the other, each in a process of its own, in several rounds of which the least times count:

- fomoad, both scoring functions: a whole training as a user starts it, int8 and all formats included;
- anomalib: its PatchCore model and sampler (benchmarks/anomalib_peer.py) on the same backbone with the same weights and
  as large a bank, and its export to ONNX, run by PYTHON, an environment that has anomalib;
- scikit-learn alone: nearest neighbours in as large a random part of the same features, with no model file;
- the stock pipeline: Keras features, random projection, a mixture with full covariances (benchmarks/references.py), and
  a TFLite file of the backbone.

Settings after these arguments go to fomoad's trainings. Printed are the figures of each as Markdown.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import anomalib_peer, data_sets, processes, references
from fomoad.backbones.graph import Convolution, Network
from fomoad.backbones.weights import find_weights
from fomoad.data import dataset
from fomoad.export import tflite
from fomoad.export.trace import Exported
from fomoad.features import extractor
from fomoad.features.pooling import Features, Pooling
from fomoad.inference.model import load_model
from fomoad.metrics import image_metrics
from fomoad.parameters import resolve
from fomoad.settings import TrainSettings, add_arguments
from fomoad.training.models import build_features

BATCH = 100


@dataclass(frozen=True)
class Result:
    """What a contestant took. Seconds and bytes; `scores` (test images,) are image scores."""

    fit: float
    latency: float
    size: int | None
    scores: list[float]
    wall: float = 0.0
    processor: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Place:
    """Where a contestant finds its images, and may write."""

    data: Path
    work: Path
    peer_python: str
    settings: list[str]

    def train_settings(self, scoring: str) -> TrainSettings:
        """The settings that fomoad's trainings are given."""
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        given = parser.parse_args([*self.settings, f"--scoring-function={scoring}"])
        return resolve(given).settings

    def features(self, scoring: str, images: dataset.Images) -> Features:
        """fomoad's features with these settings."""
        settings = self.train_settings(scoring)
        found = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
        return build_features(settings, images, found)

    @property
    def ratio(self) -> float:
        """The share of the patches that all memory banks take."""
        return self.train_settings("patchcore").sampling_ratio


def main() -> None:
    """Parse the arguments, run every contestant, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data directory with labelled test images")
    parser.add_argument("--work", type=Path, required=True, help="folder for models, logs and results")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has anomalib")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, default=tuple(CONTESTANTS))
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    arguments, settings = parser.parse_known_args()
    place = Place(arguments.data, arguments.work, arguments.peer_python, settings)
    place.work.mkdir(parents=True, exist_ok=True)
    if arguments.child:
        result = CHILDREN[arguments.child](place)
        (place.work / f"{arguments.child}.json").write_text(json.dumps(asdict(result)))
        return
    write_inputs(place)
    file = place.work / "peers.json"
    results: dict[str, Result] = {}
    for _ in range(arguments.rounds):
        for name in arguments.only:
            results[name] = least(results.get(name), CONTESTANTS[name](place))
            file.write_text(json.dumps({key: asdict(result) for key, result in results.items()}))
    print(table(results, data_sets.read_test(place.data).anomalous))


def write_inputs(place: Place) -> None:
    """The images and the network as arrays, for peers that know nothing of data directories and Keras."""
    images = training_images(place.data)
    every = images.rows(slice(None))
    np.savez(place.work / "images.npz", train=every, test=data_sets.read_test(place.data).images)
    write_network(place.work / "network.npz", place.features("patchcore", images).network)


def training_images(directory: Path) -> dataset.Images:
    """The training half of a data directory."""
    images = dataset.open_split(directory, "train", data_sets.SCALING).images
    assert images is not None
    return images


def write_network(path: Path, network: Network) -> None:
    """A folded network as arrays, its kernels as PyTorch has them; pads are (left, right, top, bottom)."""
    arrays: dict[str, Any] = {"outputs": json.dumps(network.outputs)}
    nodes = []
    for index, node in enumerate(network.nodes):
        about = {"kind": type(node).__name__, "name": node.name, "inputs": node.inputs}
        if isinstance(node, Convolution):
            (top, bottom), (left, right) = node.pads
            kernel = node.kernel.transpose(2, 3, 0, 1) if node.depthwise else node.kernel.transpose(3, 2, 0, 1)
            arrays |= {f"kernel{index}": np.ascontiguousarray(kernel), f"bias{index}": node.bias}
            about |= {"pads": (left, right, top, bottom), "strides": node.strides, "depthwise": node.depthwise}
            about["padding"] = node.padding
        nodes.append(about | {"activation": getattr(node, "activation", "linear")})
    np.savez(path, nodes=json.dumps(nodes), **arrays)


def run_fomoad(place: Place, scoring: str) -> Result:
    """A training as a user starts it; then its float32 file scores the test images."""
    out = place.work / scoring
    log = place.work / f"{scoring}.log"
    command = [
        sys.executable,
        "-m",
        "fomoad",
        "train",
        "--data-directory",
        str(place.data),
        "--out-directory",
        str(out),
    ]
    usage = processes.run([*command, f"--scoring-function={scoring}", *place.settings], log)
    model = load_model(out / tflite.FLOAT_FILE)
    test = data_sets.read_test(place.data).images
    latency = anomalib_peer.latency(lambda: model.score(test[:1]))
    fits = re.findall(r"^(?:Selecting|Fitting a mixture).*\n(?:.*\n)*?  done in ([\d.]+) s", log.read_text(), re.M)
    scores = model.score(test).max(axis=(1, 2)).tolist()
    size = (out / tflite.FLOAT_FILE).stat().st_size
    return Result(float(fits[0]), latency, size, scores, **asdict(usage))


def run_anomalib(place: Place) -> Result:
    """anomalib's model and sampler, by the Python that has them."""
    files = [place.work / name for name in ("images.npz", "network.npz", "anomalib.json")]
    command = [place.peer_python, anomalib_peer.__file__, *map(str, files), str(place.ratio)]
    usage = processes.run(command, place.work / "anomalib.log")
    found = json.loads(files[2].read_text())
    return Result(found["selection"], found["latency"], found["size"], found["scores"], **asdict(usage))


def run_child(place: Place, name: str) -> Result:
    """A contestant that is written below, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers", str(place.data), "--work", str(place.work)]
    usage = processes.run([*command, "--child", name, *place.settings], place.work / f"{name}.log")
    found = json.loads((place.work / f"{name}.json").read_text())
    return Result(**(found | asdict(usage)))


def scikit_learn(place: Place) -> Result:
    """Nearest neighbours in a random part of PatchCore's features."""
    from sklearn.neighbors import NearestNeighbors

    images = training_images(place.data)
    extract = extractor.extractor(place.features("patchcore", images))
    train = np.concatenate([extract(batch) for _, batch in images.batches(BATCH)])
    patches = train.reshape(-1, train.shape[-1])
    began = time.perf_counter()
    some = np.random.default_rng(1).permutation(len(patches))[: round(place.ratio * len(patches))]
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(patches[some])
    seconds = time.perf_counter() - began

    def score(images: Any) -> Any:
        features = extract(images)
        distances, _ = nearest.kneighbors(features.reshape(-1, features.shape[-1]))
        return distances.reshape(len(features), -1).max(axis=1)

    test = data_sets.read_test(place.data).images
    scores = np.concatenate([score(batch) for batch in np.array_split(test, -(-len(test) // BATCH))])
    return Result(seconds, anomalib_peer.latency(lambda: score(test[:1])), None, scores.tolist())


def stock_pipeline(place: Place) -> Result:
    """Edge Impulse's stock block, as far as its ways are public."""
    images = training_images(place.data)
    features = place.features("gmm", images)
    unpooled = Features(features.network, features.grid_of, Pooling(1))
    content = tflite.convert(Exported(unpooled.graph, images.shape))
    test = data_sets.read_test(place.data).images

    def extract(batch: Any) -> Any:
        return unpooled.graph(batch).numpy()

    train = np.concatenate([extract(batch) for _, batch in images.batches(BATCH)])
    held = np.concatenate([extract(batch) for batch in np.array_split(test, -(-len(test) // BATCH))])
    began = time.perf_counter()
    scores = references.stock_gmm(train, held, 1).max(axis=(1, 2))
    seconds = time.perf_counter() - began
    return Result(seconds, float("nan"), len(content), scores.tolist())


def least(before: Result | None, now: Result) -> Result:
    """The least of each time and size."""
    if before is None:
        return now
    names = ("fit", "latency", "wall", "processor", "memory")
    return Result(**(asdict(now) | {name: min(getattr(before, name), getattr(now, name)) for name in names}))


def table(results: dict[str, Result], anomalous: Any) -> str:
    """All contestants as Markdown."""
    lines = ["| contestant | whole run | processor | selection or fit | peak memory | one image | file | AUROC |"]
    lines.append("| --- |" + " ---: |" * 7)
    for name, result in results.items():
        auroc = image_metrics.auroc(image_metrics.operating_points(np.asarray(result.scores, np.float32), anomalous))
        cells = [name, f"{result.wall:.1f} s", f"{result.processor:.1f} s", f"{result.fit:.2f} s"]
        cells += [f"{result.memory / 2**30:.2f} GiB", f"{1000 * result.latency:.2f} ms"]
        cells += ["" if result.size is None else f"{result.size / 1024:,.0f} KB", f"{auroc:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


CHILDREN: dict[str, Callable[[Place], Result]] = {"scikit-learn": scikit_learn, "stock": stock_pipeline}
CONTESTANTS: dict[str, Callable[[Place], Result]] = {
    "fomoad patchcore": lambda place: run_fomoad(place, "patchcore"),
    "anomalib patchcore": run_anomalib,
    "scikit-learn": lambda place: run_child(place, "scikit-learn"),
    "fomoad gmm": lambda place: run_fomoad(place, "gmm"),
    "stock": lambda place: run_child(place, "stock"),
}


if __name__ == "__main__":
    main()
