"""Imports what a run imports, while the image is built.

This leaves the byte code of just those modules beside them: an image that runs read-only starts as fast as any, and
holds no byte code that is never read. It also fails the build where a package is missing.
"""

import importlib
import importlib.util

MODULES = (
    "ai_edge_litert.interpreter",
    "h5py",
    "jinja2",
    "keras",
    "onnx",
    "onnxruntime",
    "PIL.Image",
    "pydantic",
    "scipy.special",
    "tensorflow",
    "tensorflow.lite.python.convert",
    "tf2onnx.tfonnx",
    "threadpoolctl",
    "tqdm",
)

OF_SOME_MACHINES = {"tflite_micro": "tflite_micro.python.tflite_micro.runtime"}
"""By package: there is no wheel of it for arm64."""

if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    for package, name in OF_SOME_MACHINES.items():
        if importlib.util.find_spec(package):
            importlib.import_module(name)
