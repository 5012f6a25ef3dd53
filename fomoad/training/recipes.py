"""Recipes: which features a scoring function is fitted to. No one of them is best for every kind of part."""

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

    def __str__(self) -> str:
        """The recipe as a log names it."""
        return f"--layers {self.layers} --feature-scaling {self.feature_scaling} --pool-size {self.pool_size}"


CANDIDATES: Final = (
    Recipe(layers=3, feature_scaling="place", pool_size=2),
    Recipe(layers=3, feature_scaling="place", pool_size=3),
    Recipe(layers=2, feature_scaling="place", pool_size=2),
    Recipe(layers=3, feature_scaling="global", pool_size=2),
    Recipe(layers=3, feature_scaling="none", pool_size=2),
    Recipe(layers=3, feature_scaling="none", pool_size=3),
)
"""The first is the most robust: the best on the mean of real sets of seven kinds (docs/quality.md)."""


def candidates(settings: TrainSettings) -> list[Recipe]:
    """The recipes that agree with the settings; the most robust one first.

    >>> settings = TrainSettings(scoring_function="patchcore", layers=2, feature_scaling="place")
    >>> [each.pool_size for each in candidates(settings)]
    [2, 3]
    """
    names = tuple(Recipe.__dataclass_fields__)
    fixed = {name: value for name in names if (value := getattr(settings, name)) != "auto"}
    if settings.scorer() == "gmm":  # whose windows are those of the stock block's grid
        fixed["pool_size"] = CANDIDATES[0].pool_size
    return list(dict.fromkeys(replace(each, **fixed) for each in CANDIDATES))


def robust(settings: TrainSettings) -> Recipe:
    """The recipe to take where nothing tells which is best: the most robust values of what the settings leave open.

    >>> robust(TrainSettings(layers=1))
    Recipe(layers=1, feature_scaling='place', pool_size=2)
    """
    return candidates(settings)[0]


def with_recipe(settings: TrainSettings, recipe: Recipe) -> TrainSettings:
    """The settings with a recipe's values, none of which is auto."""
    return settings.model_copy(update=asdict(recipe))
