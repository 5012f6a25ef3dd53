"""Which backbones there are, and which of their layers features are taken from. Nothing here loads TensorFlow."""

from dataclasses import dataclass
from typing import Final

from fomoad.backbones.layers import Layer
from fomoad.backbones.mobilenet_v2 import mobilenet_v2
from fomoad.backbones.resnet50 import resnet50


@dataclass(frozen=True)
class Architecture:
    """A Keras Applications model as fomoad uses it.

    `plan` are its layers without its top, in Keras' order. `grid_layer` is the output at 1/8 of the input's side whose
    grid others are resized to. The first n of `layers` are those that features are joined from: at 1/8, then one of
    finer details, then at 1/16. MobileNetV2's of finer details is a 3x3 depthwise convolution of the layer at 1/4, of a
    stride of 2, which lies on the way. `expects` is the scaling of pixels that the ImageNet weights were trained with.
    `file` is the name of Keras' weights file, with `{resolution}` where there is one for each, and `folder` the folder
    that it is downloaded from.
    """

    plan: tuple[Layer, ...]
    grid_layer: str
    layers: tuple[str, str, str]
    expects: str
    file: str
    folder: str
    resolutions: tuple[int, ...]

    def weights_file(self, resolution: int) -> str:
        """The name under which Keras keeps the ImageNet weights that were trained at `resolution`."""
        return self.file.format(resolution=resolution)


def _mobilenet_v2(width: float) -> Architecture:
    return Architecture(
        plan=mobilenet_v2(width),
        grid_layer="block_6_expand_relu",
        layers=("block_6_expand_relu", "block_3_depthwise_relu", "block_10_expand_relu"),
        expects="-1..1",
        file=f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{{resolution}}_no_top.h5",
        folder="mobilenet_v2",
        resolutions=(96, 128, 160, 192, 224),
    )


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "mobilenet-v2-0.35": _mobilenet_v2(0.35),
    "mobilenet-v2-0.5": _mobilenet_v2(0.5),
    "mobilenet-v2-0.75": _mobilenet_v2(0.75),
    "mobilenet-v2-1.0": _mobilenet_v2(1.0),
    "resnet50": Architecture(
        plan=resnet50(),
        grid_layer="conv3_block4_out",
        layers=("conv3_block4_out", "conv2_block3_out", "conv4_block6_out"),
        expects="bgr-subtract-imagenet-mean",
        file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        folder="resnet",
        resolutions=(224,),
    ),
}
