"""What a training leaves for an update: both scorers, the features they were fitted to, and scores, but no image.

Of the images there are feature vectors of single cells, scattered over all images: too few of each to see it by.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomoad import state_file
from fomoad.backbones.graph import Addition, Convolution, MaxPooling, Network, Normalisation, Ranges
from fomoad.cluster import values
from fomoad.data.scaling import Affine
from fomoad.errors import UserError
from fomoad.export.tflite import INT8_FILE
from fomoad.features.pooling import Features, Pooling
from fomoad.scorers.counted import Counted
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import Rounding, Standardisation
from fomoad.scorers.steps import Codes
from fomoad.training.fit import Fit, Scored
from fomoad.training.fit_gmm import GmmFit
from fomoad.training.model_files import Model
from fomoad.training.sampling import Cells

Array = NDArray[np.float32]


@dataclass(frozen=True)
class KeptFit(Scored):
    """A fit as it is kept: with a mixture's `cells`, None for a memory bank, and cells of known defects, if any.

    The first `trained` of the images are those of the training; updates add others. The rule `max` takes the highest
    score of the training: a reviewed image that scores higher is none of those it promises to let pass.
    """

    cells: Cells | None
    defects: Cells | None
    trained: int

    @property
    def promised(self) -> Array:
        """See Scored."""
        return self.held_out_scores[: self.trained]

    @classmethod
    def of(cls, fit: Fit, defects: Cells | None = None) -> "KeptFit":
        """What is kept of a fit. Features of cells are rounded to 16 bits, which halves them."""
        cells = _halved(fit.cells) if isinstance(fit, GmmFit) else None
        kept = None if defects is None else _halved(defects)
        return cls(fit.scorer, fit.held_out_scores, fit.samples, cells, kept, len(fit.held_out_scores))


@dataclass(frozen=True)
class TrainingState:
    """What an update starts from. `sample_ids` (N,) name the sample that each training image shows."""

    sample_ids: tuple[str, ...]
    features: Features
    int8_features: Features
    ranges: Ranges
    fit: KeptFit
    int8_fit: KeptFit


_CLASSES: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each
    for each in (
        Addition, Affine, Cells, Codes, Convolution, Counted, Features, GmmScorer, KeptFit, MaxPooling, Network,
        Normalisation, PatchCoreScorer, Pooling, Rounding, Standardisation, TrainingState,
    )
}  # fmt: skip
"""All that a state may be made of, beside numbers, texts, lists and arrays."""
_CONTENT: Final = "content"


def pack(state: TrainingState) -> dict[str, NDArray[Any]]:
    """A state as arrays, with their arrangement as text in one of them."""
    arrays: dict[str, NDArray[Any]] = {}

    def keep(array: NDArray[Any]) -> str:
        name = f"array/{len(arrays)}"
        arrays[name] = array
        return name

    text = json.dumps(values.described(state, keep, _name))
    return arrays | {_CONTENT: np.array(text)}


def contents(state: TrainingState, models: Mapping[str, Model]) -> bytes:
    """The bytes of a state that belongs to these model files."""
    arrays = pack(state)
    for name, model in models.items():
        fit = state.int8_fit if name == INT8_FILE else state.fit
        arrays |= state_file.for_model(name, model.content, model.output_transform(fit.held_out_scores))
    return state_file.pack(arrays)


def read(model: Path) -> TrainingState:
    """Read the state beside a model file.

    Raises UserError where there is none, or it is damaged or of another training.
    """
    path = model.parent / state_file.FILE
    arrays = state_file.read(path)
    state_file.check(path, arrays, model)
    try:
        state = values.restored(json.loads(str(arrays[_CONTENT])), arrays.__getitem__, _CLASSES.__getitem__)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} holds no state that an update can start from ({error!r}): train again.") from error
    if not isinstance(state, TrainingState):
        raise UserError(f"{path} holds no state that an update can start from: train again.")
    if state.int8_fit.scorer.standardise.rounding is None:
        raise UserError(f"{path} is of an older version, whose int8 models computed otherwise: train again.")
    return state


def _halved(cells: Cells) -> Cells:
    return Cells(cells.features.astype(np.float16), cells.positions, cells.images)


def _name(kind: type) -> str:
    assert kind.__name__ in _CLASSES, kind
    return kind.__name__
