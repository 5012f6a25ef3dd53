"""ONNX files."""

from fomoad.artifacts.trace import Exported

FILE = "model.onnx"
OPSET = 17
"""Known to every ONNX Runtime since 1.12 (2022)."""


def convert(exported: Exported) -> bytes:
    """Convert to an ONNX model that takes and gives the same arrays as the TFLite one."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(exported.function, exported.function.input_signature, opset=OPSET)
    return bytes(model.SerializeToString())
