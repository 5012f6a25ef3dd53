"""Which fitter the settings ask for."""

from collections.abc import Callable
from typing import Any, Final

from fomoad.scorers.gmm import CAPACITIES
from fomoad.settings import ScoringFunction, TrainSettings
from fomoad.training import recipes
from fomoad.training.fit import Fitter
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import PatchCoreFitter
from fomoad.training.recipes import Recipe, Shape


def fitter(settings: TrainSettings, shape: Shape) -> Fitter[Any]:
    """The fitter of the settings' scoring function, for features of images of this shape."""
    return _FITTERS[settings.scorer()](settings, recipes.robust(settings, shape))


def _gmm(settings: TrainSettings, recipe: Recipe) -> GmmFitter:
    return GmmFitter(CAPACITIES[settings.capacity], recipe.feature_scaling, settings.seed)


def _patchcore(settings: TrainSettings, recipe: Recipe) -> PatchCoreFitter:
    return PatchCoreFitter(
        sampling_ratio=settings.sampling_ratio,
        k=settings.k,
        window=recipe.pool_size,
        scale=recipe.feature_scaling,
        memory_limit=settings.memory_limit * 2**20,
        seed=settings.seed,
    )


_FITTERS: Final[dict[ScoringFunction, Callable[[TrainSettings, Recipe], Fitter[Any]]]] = {
    "gmm": _gmm,
    "patchcore": _patchcore,
}
