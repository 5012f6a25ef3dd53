"""Everything about a model that stands in its device kit, gathered from the file, its metadata and a profile."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad import state_file
from fomoad.data import scaling
from fomoad.device.profile import Profile, profile_model
from fomoad.errors import UserError
from fomoad.inference.predict import Detector, load_detector
from fomoad.maintenance.reference import Reference
from fomoad.progress import log, step

UNMEASURED_ARENA: Final = 512 * 1024
"""Bytes for the example where TFLite Micro is not installed, and so cannot say."""


@dataclass(frozen=True)
class Facts:
    """A model and what its C code is made of.

    `content` are the file's bytes; `counter_edges` (E,) the stored scores that `fomoad monitor` counts between.
    """

    content: bytes
    detector: Detector
    profile: Profile
    counter_edges: NDArray[np.int8]

    @property
    def sha256(self) -> str:
        """The model file's digest."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def arena_bytes(self) -> int:
        """The arena to give to TFLite Micro."""
        return self.profile.arena_bytes or UNMEASURED_ARENA

    @property
    def threshold(self) -> int:
        """The lowest stored score that counts as anomalous; 128 where none does."""
        return lowest_reaching(self.detector, self.detector.threshold)

    def input_table(self) -> NDArray[np.int8]:
        """The stored input (channels, 256) of each pixel value, as `fomoad predict` stores it."""
        spec = self.detector.model.input
        pixels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], spec.shape[3], axis=1)
        table: NDArray[np.int8] = spec.encode(scaling.from_pixels(pixels, self.detector.scaling)).T
        return table

    def reversed_channels(self) -> bool:
        """Whether the model reads blue, green, red."""
        return scaling.affine(self.detector.scaling, self.detector.channels).reversed_channels


def lowest_reaching(detector: Detector, score: float) -> int:
    """The lowest stored output that stands for at least `score`; 128 where none does."""
    steps = detector.model.output.decode(np.arange(-128, 128))
    return int(np.searchsorted(steps, score)) - 128


def gather(model: Path) -> Facts:
    """Read a model and its metadata, and measure it.

    Raises UserError where the model has no metadata beside it, is not the int8 one, or TFLite Micro cannot run it.
    """
    detector = load_detector(model, None, None, None).of_a_tile()
    specs = (detector.model.input, detector.model.output)
    if model.suffix.lower() != ".tflite" or any(spec.dtype != "int8" for spec in specs):
        raise UserError(f"{model} does not take and give int8: give model_quantized_int8_io.tflite.")
    with step(f"Measuring what {model.name} needs on a device"):
        profile = profile_model(model)
    if profile.tflite_micro is False:
        raise UserError(f"TFLite Micro cannot run {model}: {profile.not_measured}.")
    return Facts(model.read_bytes(), detector, profile, _counter_edges(model, detector))


def _counter_edges(model: Path, detector: Detector) -> NDArray[np.int8]:
    try:
        reference = Reference.of(state_file.held_out_scores(model), detector.threshold)
    except UserError as error:
        log(f"Without counters for fomoad monitor: {error}")
        return np.empty(0, np.int8)
    edges = [lowest_reaching(detector, edge) for edge in reference.counter_edges]
    return np.array(edges, np.int64).clip(-128, 127).astype(np.int8)
