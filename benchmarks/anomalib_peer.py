"""anomalib's PatchCore on given images with a given backbone, in a Python environment that has anomalib.

`benchmarks/peers.py` starts this as a program; `benchmarks/coreset.py` takes the sampler from it. Nothing of fomoad but
the benchmark's own files is needed. The backbone is the one that fomoad uses, weights included, its batch
normalisations folded in: a little faster than anomalib's own extractor, and the same features for both.
"""

import contextlib
import importlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

MISSING_OPERATORS = ("nms", "qnms")
BATCH = 32
LATENCY_RUNS = 200
_libraries: list[Any] = []


def load(module: str, name: str) -> Any:
    """Import something of anomalib.

    Where torchvision was built for a GPU that this PyTorch knows nothing of, its operators are missing and it refuses
    to be imported. PatchCore uses none of them: it is enough to declare those that torchvision asks for.

    Raises ImportError where anomalib is not installed.
    """
    import torch

    warnings.filterwarnings("ignore")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for loaded in [key for key in sys.modules if key.startswith("torchvision")]:
            del sys.modules[loaded]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in MISSING_OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
    return getattr(importlib.import_module(module), name)


def backbone(path: Path) -> Any:
    """A torch module of the network that `peers.write_network` wrote: images (N, C, H, W) to {layer: features}."""
    import torch
    from torch.nn import functional

    arrays = np.load(path, allow_pickle=False)
    nodes = json.loads(str(arrays["nodes"]))

    class Backbone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for index, node in enumerate(nodes):
                for name in ("kernel", "bias"):
                    if node["kind"] == "Convolution":
                        self.register_buffer(f"{name}{index}", torch.from_numpy(arrays[f"{name}{index}"]))

        def forward(self, images: Any) -> dict[str, Any]:
            tensors = {"input": images}
            for index, node in enumerate(nodes):
                found = [tensors[name] for name in node["inputs"]]
                result = found[0] if len(found) == 1 else found[0] + found[1]
                if node["kind"] == "Convolution":
                    kernel, bias = getattr(self, f"kernel{index}"), getattr(self, f"bias{index}")
                    groups = len(kernel) if node["depthwise"] else 1
                    padded = functional.pad(result, node["pads"], value=node["padding"])
                    result = functional.conv2d(padded, kernel, bias, node["strides"], groups=groups)
                if node["activation"] == "relu6":
                    result = functional.relu6(result)
                tensors[node["name"]] = result
            return {name: tensors[name] for name in json.loads(str(arrays["outputs"]))}

    return Backbone().eval()


def main(images: Path, network: Path, out: Path, ratio: float) -> None:
    """Train on `train` of the images, score `test`, and write times and scores as JSON."""
    import torch

    model_class = load("anomalib.models.image.patchcore.torch_model", "PatchcoreModel")
    arrays = np.load(images, allow_pickle=False)
    train, test = (torch.from_numpy(arrays[name]).permute(0, 3, 1, 2).contiguous() for name in ("train", "test"))
    extract = backbone(network)
    layers = list(extract(train[:1]))
    model = model_class(layers=["blocks.0"], backbone="mobilenetv2_035", pre_trained=False, num_neighbors=1)
    model.feature_extractor, model.layers = extract, layers
    began = time.perf_counter()
    model.train()
    for batch in train.split(BATCH):
        model(batch)
    extracted = time.perf_counter()
    model.subsample_embedding(ratio)
    selected = time.perf_counter()
    model.eval()
    scores = torch.cat([model(batch).pred_score for batch in test.split(BATCH)]).numpy()
    file = out.with_suffix(".onnx")
    with contextlib.redirect_stdout(sys.stderr):
        torch.onnx.export(_Scores(model), (test[:1],), str(file), dynamo=False, opset_version=17)
    result = {
        "extraction": extracted - began,
        "selection": selected - extracted,
        "bank": len(model.memory_bank),
        "latency": latency(lambda: model(test[:1])),
        "scores": scores.astype(float).tolist(),
        "size": file.stat().st_size,
    }
    out.write_text(json.dumps(result))


def latency(run: Any) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(LATENCY_RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def _Scores(model: Any) -> Any:  # noqa: N802, it makes a module
    """A module that gives tensors rather than anomalib's own record of them, which the exporter takes."""
    import torch

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Any) -> Any:
            found = self.model(images)
            return found.anomaly_map, found.pred_score

    return Scores().eval()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), float(sys.argv[4]))
