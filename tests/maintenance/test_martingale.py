"""The bets against brute force, and the promises that theory makes about them, on thousands of streams."""

from typing import Any

import numpy as np
import pytest

from fomoad.maintenance import martingale, rate
from fomoad.maintenance.martingale import ALL, HIGHER, Drift, Stakes
from fomoad.maintenance.reference import Reference


def drift_of(held_out: np.ndarray, streams: np.ndarray, shares: Any = ALL, seed: int = 0) -> tuple[Drift, np.ndarray]:
    """Run streams (S, T) against held-out scores (S, n) each; returns the drift and the log capitals (S, T)."""
    random = np.random.default_rng(seed)
    references = [Reference.of(each, np.inf) for each in held_out]
    drift = Drift.start(references[0].gaps, shares, len(streams))
    lots = random.random(streams.shape)
    bins = np.stack([ref.bins(row, lot) for ref, row, lot in zip(references, streams, lots, strict=True)])
    every, capitals = np.ones(len(streams), bool), []
    for number in range(streams.shape[1]):
        drift.take(bins[:, number], np.full(len(streams), number + 1), every)
        capitals.append(drift.stakes.log_capital())
    return drift, np.stack(capitals, axis=1)


def test_bins_are_equally_likely_by_their_gaps() -> None:
    """A new score of the same distribution falls into a bin with the probability of its share of the gaps."""
    random = np.random.default_rng(0)
    found = np.zeros(13)
    for _ in range(4000):
        reference = Reference.of(random.normal(size=12), np.inf)
        found[reference.bins(random.normal(size=1), np.zeros(1))] += 1
    assert np.abs(found / 4000 - 1 / 13).max() < 0.02
    large = Reference.of(random.normal(size=500), np.inf)
    assert large.gaps.sum() == 501
    assert len(large.gaps) <= 48


def test_equal_scores_stay_exchangeable() -> None:
    """Of few different values, as int8 models give, new ones fall evenly over the gaps as well."""
    random = np.random.default_rng(1)
    found = np.zeros(21)
    for _ in range(4000):
        reference = Reference.of(random.integers(0, 4, 20), 10.0)
        found += np.bincount(reference.bins(random.integers(0, 4, 1).astype(float), random.random(1)), minlength=21)
    assert np.abs(found / 4000 - 1 / 21).max() < 0.015


def test_p_interval_is_a_count() -> None:
    """Against counting, by a loop, the weights of bins above."""
    random = np.random.default_rng(2)
    weights = random.integers(1, 9, (50, 7))
    bins = random.integers(0, 7, 50)
    lowest, highest = martingale.p_interval(weights, bins)
    for row in range(50):
        above = sum(weights[row, other] for other in range(7) if other > bins[row])
        assert lowest[row] == pytest.approx(above / weights[row].sum())
        assert highest[row] == pytest.approx((above + weights[row, bins[row]]) / weights[row].sum())


@pytest.mark.parametrize("shares", [ALL, HIGHER])
def test_every_bet_is_fair(shares: np.ndarray) -> None:
    """Whatever was seen before, the capital's mean over the next bin, by the bins' probabilities, is the capital."""
    random = np.random.default_rng(3)
    gaps = random.integers(1, 5, 9)
    drift = Drift.start(gaps, shares)
    for number, bin_ in enumerate([8, 8, 0, 3, 8, 8, 7, 1, 8, 8]):
        probabilities = (gaps + drift.counts[0]) / (gaps + drift.counts[0]).sum()
        after = []
        for other in range(9):
            tried = Drift(gaps, shares, drift.counts.copy(), drift.shape.copy(), Stakes(**vars(drift.stakes)))
            tried.take(np.array([other]), np.array([number + 1]), np.array([True]))
            after.append(np.exp(tried.stakes.log_capital()[0]))
        assert probabilities @ np.array(after) == pytest.approx(np.exp(drift.stakes.log_capital()[0]), rel=1e-9)
        drift.take(np.array([bin_]), np.array([number + 1]), np.array([True]))


def test_capital_is_the_sum_over_all_ways_to_wake_up() -> None:
    """The running capital is that of brute force: each bet started at each image, with what woke up there."""
    random = np.random.default_rng(4)
    ratios = random.normal(0, 1, (30, 2))
    shares = np.array([0.25, 0.75])
    stakes = Stakes.none(1, 2)
    for number, ratio in enumerate(ratios):
        stakes.bet(ratio[None], shares, np.array([number + 1]), np.array([True]))

    def asleep(seen: int) -> float:
        return np.log(2) / np.log(2 + seen)

    total = asleep(30)
    for start in range(30):
        for kind in range(2):
            total += (asleep(start) - asleep(start + 1)) * shares[kind] * np.exp(ratios[start:, kind].sum())
    assert stakes.log_capital()[0] == pytest.approx(np.log(total))
    starts = [max(range(30), key=lambda s, kind=kind: ratios[s:, kind].sum()) + 1 for kind in range(2)]
    assert stakes.since[0].tolist() == starts


def test_alarms_are_as_rare_as_promised() -> None:
    """Of 1,000 unchanged streams, at most one in ten ever has ten times its capital, and some come near that."""
    random = np.random.default_rng(5)
    _, capitals = drift_of(random.normal(size=(1000, 60)), random.normal(size=(1000, 200)))
    for promise in (0.1, 0.02):
        share = (capitals.max(axis=1) >= -np.log(promise)).mean()
        assert share <= promise + 3 * np.sqrt(promise / 1000)


@pytest.mark.parametrize(("shift", "scale", "direction"), [(1.5, 1, 0), (-1.5, 1, 1), (0, 0.02, 2)])
def test_a_change_is_found_and_dated(shift: float, scale: float, direction: int) -> None:
    """Higher, lower, or all alike (a picture that stands still): found in time, with the right name and date."""
    random = np.random.default_rng(6)
    calm, after = random.normal(size=(20, 300)), shift + scale * random.normal(size=(20, 150))
    drift, capitals = drift_of(random.normal(size=(20, 200)), np.concatenate([calm, after], axis=1))
    assert (capitals[:, :300].max(axis=1) < np.log(1000)).all()
    assert (capitals[:, -1] >= np.log(1000)).mean() >= 0.9
    directions, since = drift.direction()
    assert np.median(np.abs(since - 300)) < 30
    assert (directions == direction).mean() >= 0.8


def test_scores_that_are_lower_from_the_start_are_no_alarm_of_higher_ones() -> None:
    """Held-out scores that are too high, as PatchCore's can be, cannot raise the alarm that is bet on them."""
    random = np.random.default_rng(7)
    _, capitals = drift_of(random.normal(size=(500, 80)), random.normal(-0.5, 1, (500, 200)), HIGHER)
    assert (capitals.max(axis=1) >= np.log(20)).mean() <= 0.05


def test_the_rate_bet_keeps_its_promise_and_finds_more_flags() -> None:
    """At the rate that is allowed, alarms are as rare as promised; at three times that, they come."""
    random = np.random.default_rng(8)
    for actual, low, high in ((0.05, 0.0, 0.06), (0.15, 0.95, 1.0)):
        stakes, highest = Stakes.none(1000, len(rate.FACTORS)), np.zeros(1000)
        for number in range(400):
            flagged = random.random(1000) < actual
            rate.take(stakes, flagged, 0.05, np.full(1000, number + 1), np.ones(1000, bool))
            highest = np.maximum(highest, stakes.log_capital())
        assert low <= (highest >= np.log(20)).mean() <= high


def test_the_highest_rate_is_seldom_exceeded() -> None:
    """Over trainings, the true rate of scores above the threshold exceeds it with the stated probability."""
    random = np.random.default_rng(9)
    bound = rate.highest_rate(50, 2, 0.1)
    # The threshold lies just above the third highest of 50 uniform scores, and the true rate is what lies above it.
    true = 1 - np.sort(random.random((20_000, 50)), axis=1)[:, -3]
    assert (true > bound).mean() == pytest.approx(0.1, abs=0.01)
    assert rate.highest_rate(5, 5, 0.1) == 1.0
