"""Which fitter the settings ask for."""

from collections.abc import Callable
from typing import Any, Final

from fomoad.data.ignore_mask import IgnoreMask
from fomoad.errors import UserError
from fomoad.geometry import CellGeometry
from fomoad.scorers.counted import Counted
from fomoad.scorers.gmm import CAPACITIES
from fomoad.settings import ScoringFunction, TrainSettings
from fomoad.training import recipes
from fomoad.training.fit import Fitter
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import PatchCoreFitter
from fomoad.training.recipes import Recipe, Shape


def fitter(settings: TrainSettings, shape: Shape, counted: Counted | None = None) -> Fitter[Any]:
    """The fitter of the settings' scoring function, for features of images of this shape.

    What is not `counted` takes no part; None: everything does.
    """
    return _FITTERS[settings.scorer()](settings, recipes.robust(settings, shape), counted)


def counted(settings: TrainSettings, shape: Shape, ignored: IgnoreMask | None, places: CellGeometry) -> Counted | None:
    """What counts of images of this shape whose features lie at `places`, where some of it is `ignored`.

    None where everything counts. Raises UserError where nothing does.
    """
    if ignored is None:
        return None
    window = 1 if settings.scorer() == "gmm" else recipes.robust(settings, shape).pool_size
    cells = CellGeometry(places.vertical.spread(window), places.horizontal.spread(window))
    found = Counted.of(ignored.shares, places, cells)
    if not found.places.any():
        raise UserError(f"--ignore-mask {settings.ignore_mask} leaves no cell of the map: leave more of it black.")
    return None if found.places.all() and found.cells.all() else found


def _gmm(settings: TrainSettings, recipe: Recipe, counted: Counted | None) -> GmmFitter:
    return GmmFitter(CAPACITIES[settings.capacity], recipe.feature_scaling, settings.seed, counted)


def _patchcore(settings: TrainSettings, recipe: Recipe, counted: Counted | None) -> PatchCoreFitter:
    return PatchCoreFitter(
        sampling_ratio=settings.sampling_ratio,
        k=settings.k,
        window=recipe.pool_size,
        scale=recipe.feature_scaling,
        memory_limit=settings.memory_limit * 2**20,
        seed=settings.seed,
        counted=counted,
    )


_FITTERS: Final[dict[ScoringFunction, Callable[[TrainSettings, Recipe, Counted | None], Fitter[Any]]]] = {
    "gmm": _gmm,
    "patchcore": _patchcore,
}
