"""A model small enough to build in a test, in every format, whose scores are plain arithmetic.

score[row, column] = mean of the squares of the 8 x 8 pixels under the cell, over all channels.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata, BackboneInfo, Grid, InputInfo, ModelFile, TensorInfo, Threshold

CELL = 8
FILES = ("model.tflite", "model_quantized_int8_io.tflite", "model.onnx", "saved_model.zip")


def expected_scores(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) to (N, H // 8, W // 8), by loops."""
    count, height, width, _ = images.shape
    grids = np.zeros((count, height // CELL, width // CELL), np.float64)
    for row in range(height // CELL):
        for column in range(width // CELL):
            patch = images[:, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            grids[:, row, column] = np.mean(np.square(patch, dtype=np.float64), axis=(1, 2, 3))
    return grids


def write_all(folder: Path, height: int, width: int, channels: int, calibration: np.ndarray) -> None:
    """Write model.tflite, model_quantized_int8_io.tflite, model.onnx and saved_model.zip."""
    import tensorflow as tf
    import tf2onnx

    class Squares(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, height, width, channels], tf.float32, name="image")])
        def __call__(self, image):
            pooled = tf.nn.avg_pool2d(image * image, CELL, CELL, "VALID")
            return {"scores": tf.reduce_mean(pooled, axis=-1)}

    module = Squares()
    saved = folder / "saved_model"
    tf.saved_model.save(module, str(saved))
    with zipfile.ZipFile(folder / "saved_model.zip", "w") as archive:
        for path in sorted(saved.rglob("*")):
            archive.write(path, path.relative_to(folder))

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    (folder / "model.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "model_quantized_int8_io.tflite").write_bytes(converter.convert())

    tf2onnx.convert.from_function(
        module.__call__,
        input_signature=module.__call__.input_signature,
        output_path=str(folder / "model.onnx"),
    )


def write_training(
    folder: Path, height: int, width: int, channels: int, calibration: np.ndarray, threshold: float
) -> None:
    """Write all four files and their metadata, as a training leaves them."""
    write_all(folder, height, width, channels, calibration)
    chosen = Threshold(suggested=threshold, method="max", max_train=threshold)
    metadata = AnomalyMetadata(
        nominalThresholdScore=threshold,
        threshold=chosen,
        scoring_function="gmm",
        settings={"capacity": "medium"},
        backbone=BackboneInfo(name="squares", layers=["none"], weights="none", weights_sha256=""),
        input=InputInfo(height=height, width=width, channels=channels, scaling="-1..1"),
        grid=Grid(rows=height // CELL, columns=width // CELL),
        training_images=2,
        versions={},
        models={name: _record(folder / name, chosen) for name in FILES},
    )
    (folder / "anomaly_metadata.json").write_text(metadata.model_dump_json())


def _record(path: Path, threshold: Threshold) -> ModelFile:
    model = load_model(path)
    return ModelFile(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        bytes=path.stat().st_size,
        input=TensorInfo.of(model.input),
        output=TensorInfo.of(model.output),
        threshold=threshold,
    )
