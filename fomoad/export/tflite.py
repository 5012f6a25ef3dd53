"""TFLite files, float32 and int8."""

import warnings

import tensorflow as tf

from fomoad.export.trace import Exported

FLOAT_FILE = "model.tflite"
INT8_FILE = "model_quantized_int8_io.tflite"


def convert(exported: Exported) -> bytes:
    """Convert to a float32 TFLite model."""
    return bytes(_converter(exported).convert())


def convert_int8(exported: Exported) -> bytes:
    """Convert a graph with rounded tensors to a TFLite model whose input and output are int8.

    The rounding operations mark what is to become int8: the backbone. What follows stays float32, and needs no
    representative data set.
    """
    converter = _converter(exported)
    _round(converter)
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def convert_features(exported: Exported, rounded: bool) -> bytes:
    """Convert a backbone for use in this process: float32 output, and int8 input and kernels where it is rounded.

    The model has no signature, for the sake of which others take the longer way through a SavedModel on the disk.
    """
    converter = _converter(exported)
    converter.experimental_lower_to_saved_model = False
    converter.exclude_conversion_metadata = True
    if rounded:
        _round(converter)
    with warnings.catch_warnings():  # it misses ranges of the input, which the graph has
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def _round(converter: tf.lite.TFLiteConverter) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8


def _converter(exported: Exported) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_concrete_functions([exported.concrete], exported)
