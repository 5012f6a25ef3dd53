"""What a training starts from."""

from dataclasses import dataclass

from fomoad.backbones.weights import Weights
from fomoad.data.dataset import Images, Split


@dataclass(frozen=True)
class TrainingData:
    """Training images that were checked, with what is known of them, and the weights of the backbone for them."""

    split: Split
    images: Images
    weights: Weights
