"""Whether a model file computes what the scorer that it was made of computes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.data.dataset import Images
from fomoad.inference.runtimes import load_tflite
from fomoad.progress import log, warn
from fomoad.training.fit import image_scores
from fomoad.training.made_defects import Tested

IMAGES: Final = 12
"""Training images that are scored both ways, spread over the set."""
MOST: Final = 0.25
"""The median difference of images' scores that is taken as rounding, as a share of the threshold.

It is 16 steps of an int8 output, where kernels' roundings differ by up to 10. A damaged constant costs far more.
"""


def check_files(tested: dict[str, Tested], images: Images) -> None:
    """Score a few training images by each file and by its scorer; warn where they differ by more than rounding."""
    count = min(IMAGES, len(images))
    inputs = images.rows(np.arange(count) * len(images) // count)
    for name, each in tested.items():
        difference = median_difference(name, each, inputs) / each.model.record.threshold.suggested
        log(f"{name} differs from the scorer it was made of by {difference:.1%} of the threshold (median of images).")
        if not difference <= MOST:
            warn(
                f"{name} gives other scores than the scorer it was made of: its scores differ by {difference:.0%} of "
                "the threshold. Do not deploy this file. Use another of the model files, and report this as a fault."
            )


def median_difference(name: str, tested: Tested, inputs: NDArray[np.float32]) -> float:
    """The median, over images (n, height, width, channels), of |file's score - its scorer's|."""
    model = load_tflite(tested.model.content, name)
    wanted = tested.model.output_transform(image_scores(tested.fit.scorer.score(tested.extract(inputs))))
    return float(np.median(np.abs(image_scores(model.score(inputs)) - wanted)))
