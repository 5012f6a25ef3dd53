"""Imports what a run imports, while the image is built.

This leaves the byte code of just those modules beside them: an image that runs read-only starts as fast as any, and
holds no byte code that is never read. It also fails the build where a package is missing.
"""

import importlib

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
    "sklearn.mixture",
    "tensorflow",
    "tensorflow.lite.python.convert",
    "tf2onnx.tfonnx",
    "threadpoolctl",
    "tqdm",
)

if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
