"""Whether a deployed model still sees what it was trained for: the tests together, one image at a time."""

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from fomoad.maintenance import martingale, rate
from fomoad.maintenance.martingale import DIRECTIONS, Drift, Floats, Stakes
from fomoad.maintenance.reference import Reference

SETTLING: Final = 100
"""The first so many passed images say what is usual on the line.

Held-out scores tend to be a little too high (docs/thresholds.md), so that scores of new images are not lower *than in
training* before they are lower than these.
"""
DRIFT_SHARE: Final = 1 / 2
"""Of the probability of a false alarm, what is spent on drift; the rest is spent on the rate of flagged images."""
BOUND_SHARE: Final = 1 / 4
"""What of it is spent on the doubt about the rate that the training keeps."""
SEED: Final = 21
_ONE: Final = np.array([True])

Kind = Literal["drift", "rate"]


@dataclass
class Alarm:
    """What was found, at which image, and since which image about; images are numbered from 1."""

    kind: Kind
    direction: str
    image: int
    name: str
    since: int
    since_name: str
    told: bool = False


@dataclass
class Names:
    """What the images were called that the bets of each kind began to gain from."""

    names: list[str]

    def note(self, stakes: Stakes, number: int, name: str) -> None:
        """Remember the name of an image where bets began to gain from it."""
        for kind in np.flatnonzero(stakes.since[0] == number):
            self.names[kind] = name

    @classmethod
    def of(cls, stakes: Stakes) -> "Names":
        """No names yet."""
        return cls([""] * stakes.since.shape[1])


@dataclass
class Watch:
    """All bets on one stream of images.

    `false_alarm` is the probability that any alarm is *ever* raised while nothing has changed. Scores of passed images
    are bet on twice with half of the capital: against the training's held-out scores, that they are higher (a
    `training` drift), and against the stream's own first scores (`own`), that they changed in any way. `rate` bets that
    more are flagged than the training's held-out scores allow, `highest_rate`.

    >>> watch = Watch.start(Reference.of(np.linspace(0, 1, 50), threshold=2.0), false_alarm=0.001)
    >>> [watch.take(1.5, "") for _ in range(5)]
    [False, False, False, True, False]
    >>> [(alarm.kind, alarm.direction, alarm.since) for alarm in watch.alarms]
    [('drift', 'higher', 1)]
    """

    reference: Reference
    false_alarm: float
    highest_rate: float
    training: Drift
    training_names: Names
    rate: Stakes
    rate_names: Names
    images: int = 0
    flagged: int = 0
    settling: list[float] = field(default_factory=list)
    own: Drift | None = None
    own_reference: Reference | None = None
    own_names: Names | None = None
    alarms: list[Alarm] = field(default_factory=list)

    @classmethod
    def start(cls, reference: Reference, false_alarm: float, highest_rate: float | None = None) -> "Watch":
        """Before the first image. Without `highest_rate`, it is what the held-out scores allow."""
        if highest_rate is None:
            held_out = len(reference.scores) + reference.reaching
            highest_rate = rate.highest_rate(held_out, reference.reaching, BOUND_SHARE * false_alarm)
        training, stakes = Drift.start(reference.gaps, martingale.HIGHER), Stakes.none(1, len(rate.FACTORS))
        return cls(reference, false_alarm, highest_rate, training, Names.of(training.stakes), stakes, Names.of(stakes))

    def take(self, score: float, name: str) -> bool:
        """Take the score and the name of the next image. Returns whether it raised an alarm."""
        self.images += 1
        number = np.array([self.images])
        flagged = score >= self.reference.threshold
        if self.highest_rate < 1:
            rate.take(self.rate, np.array([flagged]), self.highest_rate, number, _ONE)
            self.rate_names.note(self.rate, self.images, name)
        if flagged:
            self.flagged += 1
        else:
            self._take_passed(score, name)
        return self._raise_alarms(name)

    def drift_log_capital(self) -> float:
        """The logarithm of the capital of all bets on drift, which was 1 at first."""
        own = Drift.start(np.ones(1, np.int64), martingale.ALL) if self.own is None else self.own
        return float(drift_log_capital(self.training, own)[0])

    def rate_log_capital(self) -> float:
        """The logarithm of the capital of all bets on the rate of flagged images, which was 1 at first."""
        return float(self.rate.log_capital()[0])

    def limits(self) -> dict[Kind, float]:
        """The logarithm of the capital that raises each alarm."""
        drift, bound = DRIFT_SHARE * self.false_alarm, BOUND_SHARE * self.false_alarm
        return {"drift": -math.log(drift), "rate": -math.log(self.false_alarm - drift - bound)}

    def _take_passed(self, score: float, name: str) -> None:
        number = np.array([self.images])
        lot = np.random.default_rng([SEED, self.images]).random(1)
        scores = np.array([score])
        self.training.take(self.reference.bins(scores, lot), number, _ONE)
        self.training_names.note(self.training.stakes, self.images, name)
        if self.own is not None and self.own_reference is not None and self.own_names is not None:
            self.own.take(self.own_reference.bins(scores, lot), number, _ONE)
            self.own_names.note(self.own.stakes, self.images, name)
            return
        self.settling.append(score)
        if len(self.settling) == SETTLING:
            self.own_reference = Reference.of(self.settling, self.reference.threshold)
            self.own = Drift.start(self.own_reference.gaps, martingale.ALL)
            self.own_names = Names.of(self.own.stakes)
            self.settling = []

    def _raise_alarms(self, name: str) -> bool:
        raised = {alarm.kind for alarm in self.alarms}
        limits = self.limits()
        before = len(self.alarms)
        if "drift" not in raised and self.drift_log_capital() >= limits["drift"]:
            self.alarms.append(Alarm("drift", *self._drift_source(name)))
        if "rate" not in raised and self.rate_log_capital() >= limits["rate"]:
            best = int(self.rate.awake[0].argmax())
            since = int(self.rate.since[0, best])
            self.alarms.append(Alarm("rate", "more", self.images, name, since, self.rate_names.names[best]))
        return len(self.alarms) > before

    def _drift_source(self, name: str) -> tuple[str, int, str, int, str]:
        """Direction, image, its name, since which image and its name, of the drift that gained most."""
        drift, names = self.training, self.training_names
        if self.own is not None and self.own_names is not None and _log(self.own) > _log(self.training):
            drift, names = self.own, self.own_names
        direction, since = drift.direction()
        best = int(drift.stakes.awake[0].argmax())
        return DIRECTIONS[int(direction[0])], self.images, name, int(since[0]), names.names[best]


def drift_log_capital(training: Drift, own: Drift) -> Floats:
    """The logarithm (S,) of the capital that is half with each of two drifts."""
    capital: Floats = np.logaddexp(training.stakes.log_capital(), own.stakes.log_capital()) - np.log(2)
    return capital


def _log(drift: Drift) -> float:
    return float(drift.stakes.log_capital()[0])
