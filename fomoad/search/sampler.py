"""Which candidates are tried: all of them in their order, or some that Optuna's estimator samples."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import optuna
from optuna.trial import TrialState

DRAWN: Final = 10
"""Candidates that are drawn at random before the estimator has enough to go by."""
MOST_ASKED: Final = 20
"""Suggestions that are asked for one that is new; then one that is new is drawn at random."""


class Sampler(Protocol):
    """Says which candidates to try."""

    @property
    def total(self) -> int:
        """How many candidates are tried in all."""

    def following(self, found: Mapping[int, float], taken: Collection[int]) -> Sequence[int]:
        """The positions to try next, by the detection `found` of those that are judged; `taken` are tried already."""


@dataclass(frozen=True)
class InOrder:
    """All of `total` candidates, in their order, whatever is found."""

    total: int

    def following(self, found: Mapping[int, float], taken: Collection[int]) -> Sequence[int]:
        """All that are not taken."""
        return [position for position in range(self.total) if position not in taken]


@dataclass(frozen=True)
class Tpe:
    """Some candidates, one by one: those in `first`, then ones that a tree-structured Parzen estimator suggests.

    `candidates` are the parameters that each reads. What is suggested depends on the seed and on what was found until
    then alone: with one worker, a search that was ended goes on as it would have.
    """

    candidates: Sequence[Mapping[str, Any]]
    first: Sequence[int]
    most: int
    seed: int

    @property
    def total(self) -> int:
        """How many candidates are tried in all."""
        return min(self.most, len(self.candidates))

    def following(self, found: Mapping[int, float], taken: Collection[int]) -> Sequence[int]:
        """One position; none where enough are taken."""
        if len(taken) >= self.total:
            return []
        waiting = [position for position in self.first if position not in taken]
        return waiting[:1] or [self._suggested(found, taken)]

    def _suggested(self, found: Mapping[int, float], taken: Collection[int]) -> int:
        positions = {frozenset(parameters.items()): place for place, parameters in enumerate(self.candidates)}
        sampler = optuna.samplers.TPESampler(n_startup_trials=DRAWN, seed=self.seed + len(taken))
        study = optuna.create_study(sampler=sampler, direction="maximize")
        choices = choices_of(self.candidates)
        spaces: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(values) for name, values in choices.items()
        }
        for position, detection in sorted(found.items()):
            parameters = dict(self.candidates[position])
            read = {name: spaces[name] for name in parameters}
            study.add_trial(optuna.create_trial(value=detection, params=parameters, distributions=read))
        for _ in range(MOST_ASKED):
            trial = study.ask()
            suggested = positions.get(frozenset(self._drawn(trial, choices).items()))
            if suggested is not None and suggested not in taken:
                return suggested
            study.tell(trial, state=TrialState.FAIL)
        left = [position for position in range(len(self.candidates)) if position not in taken]
        return left[int(np.random.default_rng(self.seed + len(taken)).integers(len(left)))]

    def _drawn(self, trial: optuna.Trial, choices: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        """Values of the parameters that the drawn scoring function reads."""
        drawn: dict[str, Any] = {}
        possible = list(self.candidates)
        for name, values in choices.items():
            if all(name in parameters for parameters in possible):
                drawn[name] = trial.suggest_categorical(name, values)
                possible = [parameters for parameters in possible if parameters[name] == drawn[name]]
        return drawn


def choices_of(candidates: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The values of each parameter, in order of appearance."""
    found: dict[str, dict[Any, None]] = {}
    for parameters in candidates:
        for name, value in parameters.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}
