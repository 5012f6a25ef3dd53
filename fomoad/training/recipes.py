"""Recipes: which features a scoring function is fitted to."""

from dataclasses import asdict, dataclass, replace
from typing import Final

from fomoad.scorers.standardisation import Scale
from fomoad.settings import TrainSettings


@dataclass(frozen=True)
class Recipe:
    """Values of the settings of the same names."""

    layers: int
    feature_scaling: Scale
    pool_size: int


ROBUST: Final = Recipe(layers=3, feature_scaling="place", pool_size=2)
"""The best on the mean of real sets of seven kinds of part (docs/experiments/quality.md)."""


def robust(settings: TrainSettings) -> Recipe:
    """What the settings say, and the most robust values for what they leave open.

    >>> robust(TrainSettings(layers=1))
    Recipe(layers=1, feature_scaling='place', pool_size=2)
    """
    given = {name: value for name in asdict(ROBUST) if (value := getattr(settings, name)) != "auto"}
    return replace(ROBUST, **given)


def resolved(settings: TrainSettings) -> TrainSettings:
    """The settings with the values of `robust` in place of auto."""
    return settings.model_copy(update=asdict(robust(settings)))
