"""What `fomoad monitor` knows, in a file that is always whole."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fomoad.data.new_file import replace_file
from fomoad.errors import UserError
from fomoad.maintenance import martingale, rate
from fomoad.maintenance.history import MOST_POINTS, Course, Positions
from fomoad.maintenance.martingale import PIECES, Drift, Stakes
from fomoad.maintenance.reference import Reference
from fomoad.maintenance.watch import Alarm, Names, Watch

VERSION: Final = 1
MOST_BYTES: Final = 8 * 2**20
"""A state is some tens of kilobytes, more where maps are large."""
MOST_SOURCES: Final = 100
"""Files and devices whose progress is remembered: the latest."""

Whole = Annotated[int, Field(ge=0, lt=2**62)]
Numbers = Annotated[list[float], Field(max_length=10_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StakesState(_Part):
    """`martingale.Stakes` of one stream, and the names of the images that its bets gain from."""

    awake: Numbers
    gains: Numbers
    since: list[Whole]
    seen: Whole
    names: list[str]

    @classmethod
    def of(cls, stakes: Stakes, names: Names) -> "StakesState":
        """What to write of them."""
        return cls(
            awake=stakes.awake[0].tolist(),
            gains=stakes.gains[0].tolist(),
            since=stakes.since[0].tolist(),
            seen=int(stakes.seen[0]),
            names=names.names,
        )

    def stakes(self, kinds: int) -> Stakes:
        """Read them. Raises ValueError where there are not as many as `kinds`."""
        if {len(self.awake), len(self.gains), len(self.since), len(self.names)} != {kinds}:
            raise ValueError("bets are missing")
        return Stakes(
            np.array([self.awake]), np.array([self.gains]), np.array([self.since]), np.array([self.seen], np.int64)
        )


class DriftState(_Part):
    """`martingale.Drift` of one stream."""

    counts: list[Whole]
    shape: Numbers
    stakes: StakesState

    @classmethod
    def of(cls, drift: Drift, names: Names) -> "DriftState":
        """What to write of it."""
        return cls(
            counts=drift.counts[0].tolist(), shape=drift.shape[0].tolist(), stakes=StakesState.of(drift.stakes, names)
        )

    def drift(self, reference: Reference, shares: Any) -> Drift:
        """Read it. Raises ValueError where it does not fit the reference."""
        if len(self.counts) != len(reference.gaps) or len(self.shape) != PIECES:
            raise ValueError("counts are missing")
        counts, shape = np.array([self.counts], np.int64), np.array([self.shape])
        return Drift(reference.gaps, shares, counts, shape, self.stakes.stakes(len(shares)))


class AlarmState(_Part):
    """`watch.Alarm`."""

    kind: str = Field(pattern="^(drift|rate)$")
    direction: str = Field(max_length=20)
    image: Whole
    name: str
    since: Whole
    since_name: str
    told: bool


class CourseState(_Part):
    """`history.Course`."""

    points: list[tuple[Whole, float, float, float]] = Field(max_length=MOST_POINTS)
    stride: Annotated[int, Field(ge=1, lt=2**62)]
    share: float


class PositionsState(_Part):
    """`history.Positions`."""

    calm: Whole
    seen: Whole
    total: list[Numbers]
    squares: list[Numbers]
    recent: list[Numbers]

    def positions(self) -> Positions:
        """Read them. Raises ValueError where the maps are of different shapes."""
        total, squares, recent = (np.array(each, np.float64) for each in (self.total, self.squares, self.recent))
        if total.ndim != 2 or not total.shape == squares.shape == recent.shape:
            raise ValueError("maps differ in shape")
        return Positions(self.calm, self.seen, total, squares, recent)


class FileProgress(_Part):
    """How far a file was counted: up to byte `offset`; its first `head_bytes` had this digest."""

    offset: Whole
    head_bytes: Whole
    head: str


class Progress(_Part):
    """What was counted: files, the highest sequence number of lines, and each device's counters when last seen."""

    files: dict[str, FileProgress] = {}
    sequence: Whole | None = None
    devices: dict[str, list[Whole]] = {}

    def trim(self) -> None:
        """Forget all but the latest files and devices."""
        for known in (self.files, self.devices):
            for name in list(known)[:-MOST_SOURCES]:
                del known[name]


class MonitorState(_Part):
    """All of it. `model` is the SHA-256 of the model file, `reference` that of the scores it is compared with."""

    version: int = VERSION
    model: str
    reference: str
    false_alarm: float = Field(gt=0, lt=1)
    highest_rate: float = Field(gt=0, le=1)
    images: Whole = 0
    flagged: Whole = 0
    defects: Whole = Field(0, description="Images left out because a person said that they show a defect.")
    unusable: Whole = Field(0, description="Lines that could not be used.")
    training: DriftState
    settling: Numbers = []
    own_scores: Numbers | None = None
    own: DriftState | None = None
    rate: StakesState
    alarms: list[AlarmState] = Field([], max_length=2)
    course: CourseState
    positions: PositionsState | None = None
    progress: Progress = Progress()


def pack(
    watch: Watch,
    model: str,
    course: Course,
    positions: Positions | None,
    progress: Progress,
    defects: int,
    unusable: int,
) -> MonitorState:
    """What to write of a watch and its history."""
    return MonitorState(
        model=model,
        reference=watch.reference.digest,
        false_alarm=watch.false_alarm,
        highest_rate=watch.highest_rate,
        images=watch.images,
        flagged=watch.flagged,
        defects=defects,
        unusable=unusable,
        training=DriftState.of(watch.training, watch.training_names),
        settling=watch.settling,
        own_scores=None if watch.own_reference is None else watch.own_reference.scores.tolist(),
        own=None if watch.own is None or watch.own_names is None else DriftState.of(watch.own, watch.own_names),
        rate=StakesState.of(watch.rate, watch.rate_names),
        alarms=[AlarmState(**asdict(alarm)) for alarm in watch.alarms],
        course=CourseState(points=course.points, stride=course.stride, share=course.share),
        positions=None
        if positions is None
        else PositionsState(
            calm=positions.calm,
            seen=positions.seen,
            total=positions.total.tolist(),
            squares=positions.squares.tolist(),
            recent=positions.recent.tolist(),
        ),
        progress=progress,
    )


def unpack(state: MonitorState, reference: Reference) -> Watch:
    """The watch that a state was written of. Raises ValueError where its parts do not fit one another."""
    own_reference = None if state.own_scores is None else Reference.of(state.own_scores, reference.threshold)
    own = None
    if state.own is not None and own_reference is not None:
        own = state.own.drift(own_reference, martingale.ALL)
    return Watch(
        reference,
        state.false_alarm,
        state.highest_rate,
        state.training.drift(reference, martingale.HIGHER),
        Names(state.training.stakes.names),
        state.rate.stakes(len(rate.FACTORS)),
        Names(state.rate.names),
        state.images,
        state.flagged,
        state.settling,
        own,
        own_reference,
        None if state.own is None else Names(state.own.stakes.names),
        [Alarm(**alarm.model_dump()) for alarm in state.alarms],
    )


def read(path: Path, model: str, reference: Reference) -> tuple[MonitorState, Watch] | None:
    """Read the state of a model's monitor, None where there is no file.

    Raises UserError for a file that is damaged, of a newer version, or of another model or threshold.
    """
    if not path.exists():
        return None
    advice = "give another --state, or begin again with --reset"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        state = MonitorState.model_validate_json(path.read_bytes())
        if state.model == model and state.reference == reference.digest:
            return state, unpack(state, reference)
    except (ValidationError, ValueError) as error:
        raise UserError(f"The state file {path} is damaged, or of another version of fomoad: {advice}.") from error
    raise UserError(f"The state file {path} is of another model or of another threshold: {advice}.")


def write(path: Path, state: MonitorState) -> None:
    """Write a state in the place of the one before: whoever reads it finds the old one or the new one.

    Raises UserError where that cannot be done.
    """
    try:
        replace_file(path, state.model_dump_json().encode() + b"\n", durable=True)
    except OSError as error:
        raise UserError(
            f"The state file {path} cannot be written ({error.strerror}): give another with --state."
        ) from error
