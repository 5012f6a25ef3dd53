"""Latency of model files on this machine: `python -m benchmarks.inference FOLDER... [--onnx FILE...]`.

Each folder holds the files of a training. Printed is the median time of one image (a batch of 1) on one and on two
threads, all contestants in turn in several rounds, the least of which counts. `--onnx` adds files of others, such as
the one that benchmarks/peers.py has anomalib export.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.anomalib_peer import latency
from fomoad.export import onnx_file, tflite

THREADS = (1, 2)
ROUNDS = 3


def main() -> None:
    """Parse the arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders with trained models")
    parser.add_argument("--onnx", nargs="*", type=Path, default=[], help="other models for ONNX Runtime")
    arguments = parser.parse_args()
    files = [folder / name for folder in arguments.folders for name in (tflite.FLOAT_FILE, tflite.INT8_FILE)]
    files += [*(folder / onnx_file.FILE for folder in arguments.folders), *arguments.onnx]
    runs = {(path, threads): loaded(path, threads) for path in files for threads in THREADS}
    times: dict[tuple[Path, int], float] = {}
    for _ in range(ROUNDS):
        for key, run in runs.items():
            times[key] = min(times.get(key, np.inf), latency(run))
    print("| model | 1 thread | 2 threads | size |\n| --- | ---: | ---: | ---: |")
    for path in files:
        cells = [f"{1000 * times[path, threads]:.2f} ms" for threads in THREADS]
        print(f"| {path.parent.name}/{path.name} | {' | '.join(cells)} | {path.stat().st_size / 1024:,.0f} KB |")


def loaded(path: Path, threads: int) -> Callable[[], Any]:
    """What runs a model once, on the same noise each time."""
    return (_tflite if path.suffix == ".tflite" else _onnx)(path, threads)


def _tflite(path: Path, threads: int) -> Callable[[], Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    [image], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    values = noise(image["shape"])
    stored = np.round(127 * values).astype(np.int8) if image["dtype"] == np.int8 else values

    def run() -> Any:
        interpreter.set_tensor(image["index"], stored)
        interpreter.invoke()
        return interpreter.get_tensor(scores["index"])

    return run


def _onnx(path: Path, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [image] = session.get_inputs()
    values = noise([size if isinstance(size, int) else 1 for size in image.shape])
    return lambda: session.run(None, {image.name: values})


def noise(shape: Any) -> Any:
    """An image of the given shape, 0..1."""
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


if __name__ == "__main__":
    main()
