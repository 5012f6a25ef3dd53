"""TFLite files, float32 and int8."""

import tensorflow as tf

from fomoad.artifacts.trace import Exported

FLOAT_FILE = "model.tflite"
INT8_FILE = "model_quantized_int8_io.tflite"


def convert(exported: Exported) -> bytes:
    """Convert to a float32 TFLite model."""
    return bytes(_converter(exported).convert())


def convert_int8(exported: Exported, int8_output: bool = True) -> bytes:
    """Convert a graph with rounded tensors to a TFLite model whose input, and output unless told, are int8.

    The rounding operations mark what is to become int8: the backbone. What follows stays float32, and needs no
    representative data set.
    """
    converter = _converter(exported)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    if int8_output:
        converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _converter(exported: Exported) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_concrete_functions([exported.concrete], exported)
