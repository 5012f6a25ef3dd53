"""Thresholds keep what they promise, and say what that is."""

import numpy as np
import pytest
from scipy import stats

from fomoad.errors import UserError
from fomoad.training.thresholds import (
    HeldOut,
    choose,
    conformal,
    cross_conformal_bound,
    false_alarms,
    samples_needed,
    with_made_defects,
)


def _held_out(scores: np.ndarray, step: float | None = None) -> HeldOut:
    """Each image a sample of its own."""
    return HeldOut(np.asarray(scores, np.float32), np.arange(len(scores)), step)


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.01])
@pytest.mark.parametrize("count", [20, 99, 150])
def test_conformal_threshold_keeps_its_promise_exactly(rate: float, count: int) -> None:
    """With distinct exchangeable scores the chance of a false alarm is floor(rate (n + 1)) / (n + 1)."""
    random = np.random.default_rng(0)
    trials, alarms = 4000, 0
    for _ in range(trials):
        scores = random.gamma(2, size=count + 1).astype(np.float32)
        threshold = conformal(_held_out(scores[:-1]), rate)
        if threshold is None:
            assert count < samples_needed(rate)
            return
        alarms += scores[-1] >= threshold
    assert count >= samples_needed(rate)
    chance = np.floor(rate * (count + 1) + 1e-9) / (count + 1)
    assert abs(alarms / trials - chance) < 4 * np.sqrt(chance * (1 - chance) / trials)


def test_the_promise_is_about_new_samples_not_about_new_photos_of_known_ones() -> None:
    """40 parts of one to nine photos that are much alike: the rate holds for photos of the 41st part.

    Counted as 200 images of their own, they would promise too much.
    """
    random = np.random.default_rng(0)
    by_sample, by_image = [], []
    for _ in range(1500):
        counts = random.integers(1, 10, 41)
        samples = np.repeat(np.arange(41), counts)
        scores = (random.gamma(2, size=41)[samples] + 0.1 * random.random(len(samples))).astype(np.float32)
        new = samples == 40
        for shares, numbers in ((by_sample, samples), (by_image, np.arange(len(samples)))):
            threshold = conformal(HeldOut(scores[~new], numbers[~new]), 0.01 if shares is by_image else 0.05)
            assert threshold is not None
            shares.append((scores[new] >= threshold).mean())
    assert np.mean(by_sample) <= 0.05 + 4 * np.std(by_sample) / np.sqrt(1500)
    assert np.mean(by_sample) > 0.02
    assert np.mean(by_image) > 0.01 + 3 * np.std(by_image) / np.sqrt(1500)


def test_equal_scores_do_not_break_the_promise() -> None:
    """A new score that equals the calibration scores is no alarm."""
    threshold = conformal(_held_out(np.full(50, 0.25)), 0.1)
    assert threshold is not None
    assert np.float32(0.25) < np.float32(threshold)


def test_steps_are_split_half_way() -> None:
    """An int8 output is never at its threshold: what flags it and what does not lie half a step away."""
    levels = np.arange(1, 51)
    held_out = _held_out(0.5 * levels, step=0.5)
    threshold = conformal(held_out, 0.1)
    assert threshold == 0.5 * 46 + 0.25
    assert choose(held_out, "max", 0.1, 5).max_train == 25.0 - 0.25


@pytest.mark.parametrize(("rule", "flagged"), [("max", 1), (0.1, 12), (0.05, 6)])
def test_the_share_of_false_alarms_follows_a_beta_distribution(rule: str | float, flagged: int) -> None:
    """Mean and 95 % interval, against 3,000 calibration sets of 120 whose true rates are known."""
    random = np.random.default_rng(1)
    rates, found = [], None
    for _ in range(3000):
        held_out = _held_out(random.random(120))
        threshold = held_out.scores.max() if rule == "max" else conformal(held_out, float(rule))
        rates.append(1 - threshold)
        found = found or false_alarms(held_out, float(threshold))
    mean, interval = found
    assert mean == pytest.approx(flagged / 121)
    assert np.mean(rates) == pytest.approx(mean, rel=0.06)
    np.testing.assert_allclose(np.quantile(rates, [0.025, 0.975]), [interval.low, interval.high], rtol=0.15, atol=2e-4)
    assert interval.high == pytest.approx(stats.beta(flagged, 121 - flagged).ppf(0.975))


def test_theory_warrants_about_twice_the_rate() -> None:
    assert cross_conformal_bound(0.05, 100, 100) == pytest.approx(0.1)
    assert cross_conformal_bound(0.05, 120, 5) == pytest.approx(0.1 + 1.6 / 25)
    assert cross_conformal_bound(0.6, 120, 5) == 1.0


def test_choose_by_method() -> None:
    """max takes the highest held-out score, conformal the threshold of its rate."""
    held_out = _held_out(np.linspace(0, 2, 50))
    highest = choose(held_out, "max", 0.05, 5)
    assert highest.suggested == highest.max_train == 2
    assert [choice.false_positive_rate for choice in highest.choices] == [None, 0.1, 0.05, 0.01]
    assert highest.choices[3].threshold is None
    assert highest.choices[3].samples_needed == 99
    chosen = choose(held_out, "conformal", 0.2, 5)
    assert chosen.suggested == chosen.choices[1].threshold
    assert chosen.choices[1].false_positive_rate == 0.2
    # 51 * 0.8 = 40.8: just above the 41st smallest of 50
    assert chosen.suggested == pytest.approx(np.sort(held_out.scores)[40])
    assert choose(held_out, "max", 0.05, 5, highest=1.5).suggested == 1.5
    with pytest.raises(UserError, match="at least 99 samples, there are 50"):
        choose(held_out, "conformal", 0.01, 5)
    with pytest.raises(UserError, match="alike"):
        choose(_held_out(np.zeros(50)), "max", 0.05, 5)


def test_the_recommended_threshold_finds_most_made_defects_at_the_rate() -> None:
    plain = choose(_held_out(np.linspace(0, 1, 200)), "max", 0.05, 5)
    most = with_made_defects(plain, np.linspace(0.5, 1.05, 40), 0.05)
    by_rate = {choice.false_positive_rate: choice for choice in most.choices}
    assert most.recommended == by_rate[0.05].threshold
    assert by_rate[0.05].made_defects_found > by_rate[None].made_defects_found > 0
    assert by_rate[None].made_defects_found == (np.linspace(0.5, 1.05, 40) >= 1).mean()
    easy = with_made_defects(plain, np.full(40, 9.0), 0.05)
    assert easy.recommended == easy.max_train, "no lower threshold finds more"
    without = choose(_held_out(np.linspace(0, 1, 200)), "max", 0.01, 5)
    assert without.recommended == next(c.threshold for c in without.choices if c.false_positive_rate == 0.01)


def test_few_samples_are_warned_of() -> None:
    few = choose(_held_out(np.linspace(0, 1, 12)), "max", 0.05, 5)
    assert few.recommended == pytest.approx(few.max_train)
    assert few.warning is not None
    assert few.warning.startswith("12 samples tell little")
    assert "up to 26% of new good parts" in few.warning
    assert choose(_held_out(np.linspace(0, 1, 100)), "max", 0.05, 5).warning is None
