"""Recipes: which features a scoring function is fitted to."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from fomoad.scorers.standardisation import Scale
from fomoad.settings import ScoringFunction, TrainSettings

Shape = tuple[int, int, int]
"""Height, width and channels of images."""


@dataclass(frozen=True)
class Recipe:
    """Values of the settings of the same names."""

    layers: int
    feature_scaling: Scale
    pool_size: int

    def words(self, scorer: ScoringFunction) -> str:
        """The recipe in words; the mixture's windows are always the same."""
        windows = f", windows of {self.pool_size}" if scorer == "patchcore" else ""
        return f"{self.layers} layer{'s' if self.layers > 1 else ''}, feature scaling {self.feature_scaling}{windows}"


ROBUST: Final = Recipe(layers=3, feature_scaling="place", pool_size=2)
"""The best on the mean of real sets of seven kinds of part at 96 pixels (docs/experiments/quality.md)."""
CANDIDATES: Final = (
    ROBUST,
    Recipe(layers=3, feature_scaling="place", pool_size=3),
    Recipe(layers=3, feature_scaling="global", pool_size=2),
    Recipe(layers=3, feature_scaling="none", pool_size=2),
    Recipe(layers=3, feature_scaling="none", pool_size=3),
)
"""What self-tuning chooses from: the most robust, and what was the best on some of those sets.

Made defects favour fewer layers than real ones do, so all candidates have as many."""
LARGE: Final = 192
"""From so many pixels along the shorter side on, the candidates are these; the first is the most robust."""
LARGE_CANDIDATES: Final = (
    Recipe(layers=3, feature_scaling="place", pool_size=3),
    Recipe(layers=3, feature_scaling="global", pool_size=3),
    Recipe(layers=3, feature_scaling="none", pool_size=3),
)
"""Made defects favour small windows, too, which real ones of large images do not."""


def robust(settings: TrainSettings, shape: Shape) -> Recipe:
    """What the settings say, and for images of this shape the most robust values for what they leave open.

    >>> robust(TrainSettings(layers=1), (96, 96, 3))
    Recipe(layers=1, feature_scaling='place', pool_size=2)
    """
    return candidates(settings, shape)[0]


def candidates(settings: TrainSettings, shape: Shape) -> list[Recipe]:
    """The recipes that the settings leave open, `robust` first.

    >>> candidates(TrainSettings(layers=2, scoring_function="patchcore", feature_scaling="place"), (96, 96, 3))
    [Recipe(layers=2, feature_scaling='place', pool_size=2), Recipe(layers=2, feature_scaling='place', pool_size=3)]
    """
    given = _given(settings)
    tried = LARGE_CANDIDATES if min(shape[:2]) >= LARGE else CANDIDATES
    if settings.scorer() == "gmm":
        given = {"pool_size": tried[0].pool_size} | given
    return list(dict.fromkeys(replace(recipe, **given) for recipe in tried))


def with_recipe(settings: TrainSettings, recipe: Recipe) -> TrainSettings:
    """The settings with a recipe's values."""
    return settings.model_copy(update=asdict(recipe))


def _given(settings: TrainSettings) -> dict[str, Any]:
    return {name: value for name in asdict(ROBUST) if (value := getattr(settings, name)) != "auto"}
