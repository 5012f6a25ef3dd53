"""Features of arrays, computed by the kernels that the finished models run on.

LiteRT's kernels are several times as fast as TensorFlow's own on a processor (docs/performance.md), and what a scorer
is fitted on is then what it will be given.
"""

from typing import Final

import numpy as np

from fomoad.backbones.graph import Ranges
from fomoad.export import tflite
from fomoad.export.trace import Exported
from fomoad.features.backbone_file import BackboneFile
from fomoad.features.pooling import Features
from fomoad.features.store import Extract

BATCH_PIXELS: Final = 16 * 96 * 96
"""Images of about so many pixels together are computed at a time: more would outgrow the cache and gain nothing."""


def compiled(features: Features, ranges: Ranges | None = None) -> BackboneFile:
    """Compile the float features, or with `ranges` those of int8 kernels, for batches of any size."""
    shape = features.network.input_shape
    exported = Exported(lambda image: features.graph(image, ranges), shape)
    content = tflite.convert_features(exported, rounded=ranges is not None)
    batch = max(1, BATCH_PIXELS // int(np.prod(shape[:2])))
    return BackboneFile(np.frombuffer(content, np.uint8), batch)


def extractor(features: Features, ranges: Ranges | None = None) -> Extract:
    """Compile them, and load them to be run in this process."""
    return compiled(features, ranges).load()
