"""Networks for tests of int8, and the kernels that they are held against: LiteRT's and TFLite Micro's."""

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from fomoad.backbones.graph import Convolution, Network
from fomoad.data import scaling
from fomoad.data.scaling import DEFAULT_SCALING
from tests.support.backbones import fresh_arrays, network

LAYER = "block_3_expand_relu"
SMALL = (32, 32, 3)


def mobilenet(shape: tuple[int, int, int] = SMALL, input_scaling: str = DEFAULT_SCALING) -> Network:
    """Random weights, and biases like those of a trained network: not zero."""
    arrays, random = fresh_arrays(), np.random.default_rng(5)
    for name, values in arrays.items():
        if name.endswith(("beta", "moving_mean")):
            values[:] = random.normal(0.3, 0.3, values.shape)
    return network((LAYER,), shape, input_scaling, arrays)


def blocky_images(count: int, shape: tuple[int, int, int] = SMALL, input_scaling: str = DEFAULT_SCALING) -> Any:
    pixels = np.random.default_rng(1).integers(0, 256, (count, shape[0] // 4, shape[1] // 4, shape[2]))
    return scaling.from_pixels(pixels.repeat(4, axis=1).repeat(4, axis=2), input_scaling)


def chain(*convolutions: Convolution, side: int = 8) -> Network:
    """A network of these convolutions, each reading the one before, for images (side, side, 3)."""
    return Network(convolutions, (convolutions[-1].name,), (side, side, 3))


def convolution(
    name: str, source: str, kernel: Any, bias: Any, activation: str = "linear", depthwise: bool = False
) -> Convolution:
    """Stride 1; zeros around the image so that it keeps its size."""
    around = kernel.shape[0] // 2
    pads = ((around, around), (around, around))
    return Convolution(
        name, (source,), kernel.astype(np.float32), bias.astype(np.float32), (1, 1), pads, depthwise, activation
    )


def on_litert(content: bytes, stored: Any, resolver: OpResolverType = OpResolverType.AUTO) -> Any:
    """Outputs as integers (N, ...) of int8 inputs (N, ...)."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    outputs = []
    for image in stored:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(outputs).astype(np.int64)


def on_reference(content: bytes, stored: Any) -> Any:
    """The same by LiteRT's reference kernels, which round as TFLite Micro does."""
    return on_litert(content, stored, OpResolverType.BUILTIN_REF)


def on_micro(content: bytes, stored: Any) -> Any:
    """The same on TFLite Micro."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=2**22)
    outputs = []
    for image in stored:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0)[0])
    return np.stack(outputs).astype(np.int64)
