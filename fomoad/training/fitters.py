"""Which fitter the settings ask for."""

from collections.abc import Callable
from typing import Any, Final

from fomoad.scorers.gmm import CAPACITIES
from fomoad.settings import ScoringFunction, TrainSettings
from fomoad.training import recipes
from fomoad.training.fit import Fitter
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import PatchCoreFitter


def fitter(settings: TrainSettings) -> Fitter[Any]:
    """The fitter of the settings' scoring function."""
    return _FITTERS[settings.scorer()](settings)


def _gmm(settings: TrainSettings) -> GmmFitter:
    return GmmFitter(CAPACITIES[settings.capacity], recipes.robust(settings).feature_scaling, settings.seed)


def _patchcore(settings: TrainSettings) -> PatchCoreFitter:
    recipe = recipes.robust(settings)
    return PatchCoreFitter(
        sampling_ratio=settings.sampling_ratio,
        k=settings.k,
        window=recipe.pool_size,
        scale=recipe.feature_scaling,
        memory_limit=settings.memory_limit * 2**20,
        seed=settings.seed,
    )


_FITTERS: Final[dict[ScoringFunction, Callable[[TrainSettings], Fitter[Any]]]] = {
    "gmm": _gmm,
    "patchcore": _patchcore,
}
