"""Thresholds keep what they promise."""

import numpy as np
import pytest

from fomoad.errors import UserError
from fomoad.training.thresholds import choose, conformal


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.01])
@pytest.mark.parametrize("count", [20, 99, 150])
def test_conformal_threshold_keeps_its_promise_exactly(rate: float, count: int) -> None:
    """With distinct exchangeable scores the chance of a false alarm is floor(rate (n + 1)) / (n + 1)."""
    random = np.random.default_rng(0)
    trials, alarms = 4000, 0
    for _ in range(trials):
        scores = random.gamma(2, size=count + 1).astype(np.float32)
        result = conformal(scores[:-1], rate)
        if result.threshold is None:
            assert count < result.images_needed
            return
        alarms += scores[-1] >= result.threshold
    assert count >= result.images_needed
    chance = np.floor(rate * (count + 1) + 1e-9) / (count + 1)
    assert abs(alarms / trials - chance) < 4 * np.sqrt(chance * (1 - chance) / trials)


def test_equal_scores_do_not_break_the_promise() -> None:
    """A new score that equals the calibration scores is no alarm."""
    result = conformal(np.full(50, 0.25, np.float32), 0.1)
    assert result.threshold is not None
    assert np.float32(0.25) < np.float32(result.threshold)


def test_the_method_chooses_the_threshold() -> None:
    """max takes the highest training score, conformal the threshold of its rate."""
    train, held_out = np.linspace(0, 1, 50, dtype=np.float32), np.linspace(0, 2, 50, dtype=np.float32)
    highest = choose(train, held_out, "max", 0.05)
    assert highest.suggested == highest.max_train == 1
    assert [c.false_positive_rate for c in highest.conformal] == [0.1, 0.05, 0.01]
    assert highest.conformal[2].threshold is None
    assert highest.conformal[2].images_needed == 99
    chosen = choose(train, held_out, "conformal", 0.2)
    assert chosen.suggested == chosen.conformal[0].threshold
    assert chosen.conformal[0].false_positive_rate == 0.2
    # 51 * 0.8 = 40.8: just above the 41st smallest of 50
    assert chosen.suggested == pytest.approx(np.sort(held_out)[40])
    with pytest.raises(UserError, match="at least 99 training images"):
        choose(train, held_out, "conformal", 0.01)
    with pytest.raises(UserError, match="alike"):
        choose(np.zeros(9, np.float32), held_out, "max", 0.05)
