"""Which candidates are tried."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the search's extra is not installed: pip install fomoad[search]")

from fomoad.search.sampler import InOrder, Tpe
from fomoad.search.study import Outcome, Study

SIDES, LAYERS = (64, 96, 128, 160), (1, 2, 3)
CANDIDATES: list[dict[str, Any]] = [
    *({"side": s, "scoring_function": "gmm", "layers": n, "capacity": c} for s in SIDES for n in LAYERS for c in "abc"),
    *(
        {"side": s, "scoring_function": "patchcore", "layers": n, "k": k}
        for s in SIDES
        for n in LAYERS
        for k in range(9)
    ),
]
"""144, each with the parameters that its scoring function reads."""


def detection(parameters: dict[str, Any]) -> float:
    """The best are those of 128 pixels, PatchCore, three layers and a k of 4."""
    of_side = 0.1 - abs(parameters["side"] - 128) / 1000
    return of_side + 0.05 * parameters["layers"] + (0.1 - abs(parameters["k"] - 4) / 50 if "k" in parameters else 0.0)


def tried(sampler: Tpe) -> dict[int, float]:
    found: dict[int, float] = {}
    while following := sampler.following(found, found):
        [position] = following
        assert position not in found
        found[position] = detection(CANDIDATES[position])
    return found


def test_all_wait_in_their_order() -> None:
    assert InOrder(4).following({}, {2}) == [0, 1, 3]


def test_the_estimator_finds_more_than_chance() -> None:
    """On the mean, and begins with those that it is told to; the same seed tries the same."""
    best, drawn = [], []
    for seed in range(2):
        found = tried(Tpe(CANDIDATES, (100, 3), 30, 1000 * seed))
        assert list(found)[:2] == [100, 3]
        assert len(found) == 30
        best.append(max(found.values()))
        chance = np.random.default_rng(seed).permutation(len(CANDIDATES))[:30]
        drawn.append(max(detection(CANDIDATES[position]) for position in chance))
    assert np.mean(best) > np.mean(drawn)
    assert list(tried(Tpe(CANDIDATES, (100, 3), 12, 5))) == list(tried(Tpe(CANDIDATES, (100, 3), 12, 5)))


def test_no_more_are_tried_than_there_are() -> None:
    few = CANDIDATES[:3]
    assert Tpe(few, (), 60, 1).total == 3
    found: dict[int, float] = {}
    while following := Tpe(few, (), 60, 1).following(found, found):
        found[following[0]] = 0.5
    assert sorted(found) == [0, 1, 2]


def test_a_search_that_was_ended_goes_on_as_it_would_have(tmp_path: Path) -> None:
    """A study of eight candidates in one piece, and in two; the first of both is the one that is asked for."""
    order: dict[str, list[int]] = {"whole": [], "pieces": []}

    def run(name: str, most: int) -> Study:
        def objective(position: int) -> Outcome:
            order[name].append(position)
            failure = "too large" if position % 5 == 0 else None
            values = None if failure else (detection(CANDIDATES[position]), 1.0, 1.0, 1.0)
            return Outcome(position, values, {}, failure)

        sampler = Tpe(CANDIDATES, (100,), most, 7)
        opened = Study(str(tmp_path / name), "s", "d", CANDIDATES, sampler)
        opened.work(objective)
        assert opened.finished()
        return opened

    run("whole", 14)
    for most in (5, 14):
        found = run("pieces", most)
    assert order["pieces"] == order["whole"]
    assert sorted(found.outcomes()) == sorted(order["whole"])
    assert order["whole"][0] == 100
    assert len(set(itertools.chain(*order.values()))) == 14
