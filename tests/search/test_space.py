"""What is searched."""

import pytest

from fomoad.errors import UserError
from fomoad.search import space
from fomoad.search.space import Candidate

GIVEN = {"scoring_function": ("gmm", "patchcore"), "backbone": ("mobilenet-v2-0.35",)}


def test_every_combination_is_there_once_and_small_inputs_come_first() -> None:
    """Settings that a scoring function does not read make no candidate of their own."""
    found = space.space((96, 64), {**GIVEN, "capacity": ("low", "high"), "sampling_ratio": ("0.01", "0.1")})
    sides = [candidate.side for candidate in found.candidates]
    assert sides == sorted(sides)
    assert len(set(found.candidates)) == len(found.candidates)
    layers, pools = space.DEFAULT_AXES["layers"], space.DEFAULT_AXES["pool_size"]
    mixtures = [each for each in found.candidates if each.settings.scorer() == "gmm"]
    banks = [each for each in found.candidates if each.settings.scorer() == "patchcore"]
    assert len(mixtures) == 2 * len(layers) * 2 * 2
    assert len(banks) == 2 * len(layers) * 2 * len(pools) * 2
    assert {each.settings.feature_scaling for each in mixtures} == {"place", "global"}
    assert {each.settings.feature_scaling for each in banks} == {"place", "none"}
    assert {each.settings.capacity for each in mixtures} == {"low", "high"}
    assert found.axes["side"] == (64, 96)


def test_the_promising_scaling_is_tried_first_and_those_left_out_on_request() -> None:
    found = space.space((96,), {**GIVEN, "capacity": ("low", "high")}).candidates
    mixtures = [each.settings.feature_scaling for each in found if each.settings.scorer() == "gmm"]
    assert mixtures == ["place"] * 4 + ["global"] * 4
    asked = space.space((96,), {**GIVEN, "feature_scaling": ("none", "place")}).candidates
    assert {each.settings.feature_scaling for each in asked if each.settings.scorer() == "gmm"} == {"place", "none"}


def test_the_most_promising_is_the_default_recipe_of_the_largest_input() -> None:
    found = space.space((64, 256, 96), {**GIVEN, "sampling_ratio": ("0.01", "0.1", "0.5")})
    order = found.by_promise()
    assert sorted(order) == list(range(len(found.candidates)))
    for side, pool_size in ((256, 3), (96, 2), (64, 2)):
        first = next(found.candidates[place] for place in order if found.candidates[place].side == side)
        settings = first.settings
        assert (settings.scoring_function, settings.layers, settings.feature_scaling) == ("patchcore", 3, "place")
        assert (settings.pool_size, settings.sampling_ratio) == (pool_size, 0.1)
    sides = [found.candidates[place].side for place in order]
    assert sides == sorted(sides, reverse=True)


def test_a_mixture_of_all_layers_promises_more_than_a_bank_of_fewer() -> None:
    found = space.space((96,), {**GIVEN, "feature_scaling": ("place",), "capacity": ("high", "low")})
    ordered = [found.candidates[place].settings for place in found.by_promise()]
    kinds = [(each.layers, each.scorer()) for each in ordered]
    assert list(dict.fromkeys(kinds)) == [(3, "patchcore"), (3, "gmm"), (2, "patchcore"), (2, "gmm")]
    assert next(each.capacity for each in ordered if each.scorer() == "gmm") == "high"


def test_the_order_does_not_depend_on_that_of_the_lists() -> None:
    one = space.space((64, 96), {**GIVEN, "sampling_ratio": ("0.01", "0.1")})
    other = space.space((96, 64), {**GIVEN, "sampling_ratio": ("0.1", "0.01")})
    assert set(one.candidates) == set(other.candidates)
    assert [each.side for each in one.candidates] == [each.side for each in other.candidates]


def test_a_value_that_a_training_would_refuse_is_refused() -> None:
    with pytest.raises(UserError, match="--sampling-ratio cannot be '2'"):
        space.space((96,), {**GIVEN, "sampling_ratio": ("0.1", "2")})
    with pytest.raises(UserError, match="--scoring-function cannot be auto"):
        space.space((96,), {"scoring_function": ("auto",)})


@pytest.mark.parametrize("text", ["", "96,x", "16", "96.5"])
def test_sides_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--size"):
        space.parse_sides(text)


def test_parameters_are_plain_values() -> None:
    candidate = space.space((96,), GIVEN).candidates[0]
    assert isinstance(candidate, Candidate)
    assert candidate.parameters()["side"] == 96
    assert candidate.parameters()["scoring_function"] == "gmm"
