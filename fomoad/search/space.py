"""What is searched: every combination of the listed values, in a fixed order, cheap ones first."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fomoad.errors import UserError
from fomoad.settings import ScoringFunction, TrainSettings, argument_name, choices, validate
from fomoad.training import recipes

DEFAULTS: Final = TrainSettings()
SIZES: Final = (64, 96, 128, 160, 224, 320)
SMALLEST: Final = 32
LARGEST: Final = 2048
DEFAULT_AXES: Final[Mapping[str, tuple[Any, ...]]] = {
    "scoring_function": ("gmm", "patchcore"),
    "capacity": ("low", "medium", "high"),
    "layers": (2, 3),
    "feature_scaling": ("place", "global", "none"),
    "pool_size": (2, 3),
    "sampling_ratio": (0.01, 0.05),
}
"""Settings that vary where the user does not say otherwise; the most promising feature scaling first. The rest keep the
value of a training."""
LEFT_OUT: Final = frozenset({("gmm", "none"), ("patchcore", "global")})
"""Feature scalings that find less than others on the mean of sets and are known to win on none
(docs/experiments/quality.md): they are tried on request only."""
AXES_OF: Final[Mapping[ScoringFunction, frozenset[str]]] = {
    "gmm": frozenset({"capacity"}),
    "patchcore": frozenset({"pool_size", "sampling_ratio", "k"}),
}
"""Settings that only one scoring function reads: for the other, they keep the default."""


@dataclass(frozen=True)
class Candidate:
    """One model to try: `side` of the input in pixels, and the settings of its training."""

    side: int
    settings: TrainSettings

    def parameters(self) -> dict[str, Any]:
        """The side and every setting, as plain values."""
        return {"side": self.side, **self.settings.model_dump()}


@dataclass(frozen=True)
class Space:
    """The candidates in the order in which they are tried, and the parameters in which they differ."""

    candidates: tuple[Candidate, ...]
    axes: Mapping[str, tuple[Any, ...]]

    def read(self, candidate: Candidate) -> dict[str, Any]:
        """Those of the parameters in which candidates differ that this one reads."""
        unread = _unread(candidate.settings.scorer())
        return {name: candidate.parameters()[name] for name in self.axes if name not in unread}

    def by_promise(self) -> list[int]:
        """All positions, the most promising candidates first: as on the mean of real sets (docs/search.md)."""
        return sorted(range(len(self.candidates)), key=lambda position: _promise(self.candidates[position]))

    def description(self) -> str:
        """A text that is the same for the same space only."""
        return json.dumps([candidate.parameters() for candidate in self.candidates], sort_keys=True)


def space(sides: Sequence[int], given: Mapping[str, Sequence[str]]) -> Space:
    """All combinations of the sides and of the listed values of settings, smaller inputs and models first.

    `given` maps fields of TrainSettings to one value or more, as text; fields that it does not name take
    DEFAULT_AXES or the default of a training.

    Raises UserError for a value that a training would refuse, and for a scoring function that is not named.
    """
    if "auto" in given.get("scoring_function", ()):
        raise UserError("--scoring-function cannot be auto in a search: list gmm, patchcore or both.")
    axes: dict[str, tuple[Any, ...]] = {name: values for name, values in DEFAULT_AXES.items() if name not in given}
    axes |= {name: tuple(getattr(validate({name: value}), name) for value in given[name]) for name in given}
    every = (
        _candidate(side, dict(zip(axes, values, strict=True)))
        for side in sides
        for values in itertools.product(*axes.values())
    )
    found = dict.fromkeys(each for each in every if "feature_scaling" in given or not _is_left_out(each))
    ordered = tuple(sorted(found, key=_expense))
    return Space(ordered, _varying(ordered))


def parse_list(text: str) -> tuple[str, ...]:
    """The values of a comma-separated list, in the order given, each once."""
    return tuple(dict.fromkeys(value.strip() for value in text.split(",") if value.strip()))


def parse_sides(text: str) -> tuple[int, ...]:
    """The sides in a comma-separated list, the smallest first.

    Raises UserError for one that is no whole number of pixels or out of range.
    """
    sides = set()
    for value in parse_list(text):
        if not value.isdecimal() or not SMALLEST <= int(value) <= LARGEST:
            raise UserError(f"--size cannot hold {value!r}: list whole numbers from {SMALLEST} to {LARGEST}.")
        sides.add(int(value))
    if not sides:
        raise UserError("--size lists no side: give one or more, as in --size 96,160.")
    return tuple(sorted(sides))


def searchable(field: str) -> bool:
    """Whether a setting may be listed: it says how the model is made, not how or where it is trained."""
    return field in DEFAULT_AXES or field in ("backbone", "k", "weights_resolution")


def _candidate(side: int, values: dict[str, Any]) -> Candidate:
    """The candidate with these values, except those that its scoring function does not read.

    Self-tuning is off: what was judged is what is trained.
    """
    unread = _unread(values["scoring_function"])
    read = {name: value for name, value in values.items() if name not in unread}
    return Candidate(side, TrainSettings(tune="off", **read))


def _unread(scorer: ScoringFunction) -> frozenset[str]:
    """Settings that a scoring function does not read."""
    return frozenset().union(*(names for kind, names in AXES_OF.items() if kind != scorer))


def _is_left_out(candidate: Candidate) -> bool:
    return (candidate.settings.scorer(), candidate.settings.feature_scaling) in LEFT_OUT


def _expense(candidate: Candidate) -> tuple[Any, ...]:
    """Smaller inputs first, then mixtures, then the scaling that finds most on the mean, then less of each setting.

    A scaling costs a device nothing, so that the promising ones are tried with all other settings first.
    """
    settings = candidate.settings
    ranks = []
    for name in sorted(TrainSettings.model_fields):
        value, allowed = getattr(settings, name), choices(name)
        ranks.append(allowed.index(value) if allowed else value if isinstance(value, int | float) else 0)
    return candidate.side, settings.scorer(), _scaling_rank(settings), tuple(ranks)


def _promise(candidate: Candidate) -> tuple[Any, ...]:
    """The largest input and backbone, then what is next to the default scaling and layers, then PatchCore."""
    settings, side = candidate.settings, candidate.side
    default = recipes.robust(TrainSettings(scoring_function=settings.scorer()), (side, side, 3))
    backbones, capacities = (choices(name) or () for name in ("backbone", "capacity"))
    return (
        -side,
        -backbones.index(settings.backbone),
        _scaling_rank(settings),
        abs(default.layers - (default.layers if settings.layers == "auto" else settings.layers)),
        settings.scorer() != "patchcore",
        abs(default.pool_size - (default.pool_size if settings.pool_size == "auto" else settings.pool_size)),
        abs(math.log(settings.sampling_ratio / DEFAULTS.sampling_ratio)),
        -capacities.index(settings.capacity),
        settings.k - DEFAULTS.k,
    )


def _scaling_rank(settings: TrainSettings) -> int:
    return ("auto", *DEFAULT_AXES["feature_scaling"]).index(settings.feature_scaling)


def _varying(candidates: Iterable[Candidate]) -> dict[str, tuple[Any, ...]]:
    """The parameters that differ between candidates, and their values in order of appearance."""
    values: dict[str, dict[Any, None]] = {}
    for candidate in candidates:
        for name, value in candidate.parameters().items():
            values.setdefault(name, {})[value] = None
    return {name: tuple(found) for name, found in values.items() if len(found) > 1}


def label(name: str) -> str:
    """What a parameter is called on the command line."""
    return "--size" if name == "side" else argument_name(name)
