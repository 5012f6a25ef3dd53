"""Votes: how they are written, counted, and stated with thresholds."""

import numpy as np
import pytest

from fomoad.errors import UserError
from fomoad.settings import validate
from fomoad.training import threshold_summary, thresholds
from fomoad.training.thresholds import HeldOut
from fomoad.vote import Vote, Voter


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "3/33", "-1/4", "3/4/5", "a/b"])
def test_a_vote_that_cannot_be_held_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as in 3/4"):
        Vote.parse(text)
    with pytest.raises(UserError, match="--vote"):
        validate({"vote": text})


def test_votes_count_the_last_images() -> None:
    flags = (np.random.default_rng(1).random(500) < 0.5).tolist()
    voter = Voter(Vote.parse("3/5"))
    assert [voter.add(flag) for flag in flags] == [sum(flags[max(0, end - 5) : end]) >= 3 for end in range(1, 501)]


def test_false_alarms_with_a_vote_are_those_of_simulated_trainings() -> None:
    """The share of flagged images drawn for each training (Vovk 2012), then images drawn one by one."""
    held_out = HeldOut(np.arange(1, 41, dtype=np.float32), np.arange(40))
    threshold = held_out.above(34.0)
    random = np.random.default_rng(7)
    rates = random.beta(40 + 1 - 34, 34, 200_000)
    flagged = random.random((200_000, 4)) < rates[:, None]
    simulated = (flagged.sum(axis=1) >= 2).mean()
    assert thresholds.vote_alarms(held_out, threshold, Vote(2, 4)) == pytest.approx(simulated, abs=0.005)
    alone = thresholds.vote_alarms(held_out, threshold, Vote())
    assert alone == pytest.approx(thresholds.false_alarms(held_out, threshold)[0])


def test_thresholds_are_stated_with_the_vote() -> None:
    held_out = HeldOut(np.arange(1, 41, dtype=np.float32), np.arange(40))
    found = thresholds.choose(held_out, "max", 0.05, 5, vote=Vote(3, 4))
    heading, *rows, assumption = threshold_summary.lines(found)
    assert threshold_summary.WITH_VOTE in heading
    assert "independently" in assumption
    assert found.choices[1].expected_vote_alarms is not None
    assert f"{found.choices[1].expected_vote_alarms:.1%}" in rows[1]
    without = thresholds.choose(held_out, "max", 0.05, 5)
    assert all(threshold_summary.WITH_VOTE not in line for line in threshold_summary.lines(without))
