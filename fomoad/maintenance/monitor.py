"""`fomoad monitor`: scores from standard input, a file or a device, to the verdict whether the model still fits."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fomoad.errors import UserError
from fomoad.maintenance import monitor_page, monitor_state
from fomoad.maintenance.history import MOST_POSITIONS, Course, Positions
from fomoad.maintenance.monitor_state import FileProgress, MonitorState, Progress
from fomoad.maintenance.reference import Reference
from fomoad.maintenance.score_lines import LONGEST, MOST_COUNTED, Counters, LineError, Scored, parse
from fomoad.maintenance.watch import SEED, Alarm, Kind, Watch
from fomoad.progress import log

STANDARD_INPUT: Final = "-"
CHUNK: Final = 2**16
"""Bytes that are read, and then written as counted, at a time."""
HEAD_BYTES: Final = 4096
"""So much of a file's beginning tells it from a later one of the same name."""
COMMAND_SECONDS: Final = 60
"""How long a command that is called for an alarm may take."""
MOST_WARNINGS: Final = 5
ADVICE: Final = {
    "higher": "look at the camera, the light and the parts: what is new? Review what is flagged, then `fomoad update`, "
    "or set the light right",
    "lower": "scores that fall are no better parts: look for a covered or unfocused lens, or a camera that repeats "
    "a picture",
    "other": "scores gather where they did not before: look at the camera, the light and the parts",
    "more": "review the flagged images: if they show good parts, `fomoad update` with them; if defects, the line has a "
    "problem",
}


@dataclass
class Session:
    """A watch with its history, and where both are kept."""

    watch: Watch
    course: Course
    positions: Positions | None
    progress: Progress
    model: str
    path: Path
    defects: int = 0
    unusable: int = 0

    @classmethod
    def open(cls, path: Path, model: str, reference: Reference, false_alarm: float, rate: float | None) -> "Session":
        """Go on from the file at `path`, or begin where there is none.

        Raises UserError for a file of another model, threshold or false-alarm rate.
        """
        known = monitor_state.read(path, model, reference)
        if known is None:
            watch = Watch.start(reference, false_alarm, rate)
            return cls(watch, Course(), None, Progress(), model, path)
        state, watch = known
        if state.false_alarm != false_alarm or (rate is not None and rate != state.highest_rate):
            raise UserError(
                f"The state file {path} was begun with --false-alarm {state.false_alarm:g} and a rate of "
                f"{state.highest_rate:g}: give the same, or begin again with --reset."
            )
        course = Course(state.course.points, state.course.stride, state.course.share)
        positions = None if state.positions is None else state.positions.positions()
        return cls(watch, course, positions, state.progress, model, path, state.defects, state.unusable)

    def state(self) -> MonitorState:
        """What to write of it."""
        self.progress.trim()
        return monitor_state.pack(
            self.watch, self.model, self.course, self.positions, self.progress, self.defects, self.unusable
        )

    def take(self, line: bytes) -> None:
        """Count a line. Lines that cannot be used are named, and nothing else comes of them."""
        if not line.strip():
            return
        try:
            content = parse(line)
            if isinstance(content, Counters):
                self._take_counters(content)
            elif content is not None:
                self._take_image(content)
        except LineError as error:
            self.unusable += 1
            if self.unusable <= MOST_WARNINGS:
                shown = line[:80].decode("utf-8", "replace")
                print(f"Warning: the line {shown!r} is passed over: {error}.", file=sys.stderr)

    def _take_image(self, image: Scored) -> None:
        if image.sequence is not None:
            if self.progress.sequence is not None and image.sequence <= self.progress.sequence:
                return
            self.progress.sequence = image.sequence
        if image.review == "defect":
            self.defects += 1
            return
        self._take_score(image.score, image.name)
        grid = image.grid
        if grid is None or grid.size > MOST_POSITIONS or image.score >= self.watch.reference.threshold:
            return
        if self.positions is None:
            self.positions = Positions.start((grid.shape[0], grid.shape[1]))
        if self.positions.total.shape == grid.shape:
            self.positions.take(grid, calm=not self.watch.alarms)

    def _take_counters(self, counters: Counters) -> None:
        """Count what a device counted since it was last seen. Its order is not known: any is as likely as another."""
        expected = int(self.watch.reference.threshold) + 1
        if len(counters.counts) != expected:
            raise LineError(f"it has {len(counters.counts)} counters, the model {expected}")
        before = self.progress.devices.get(counters.device, [0] * expected)
        restarted = any(now < then for now, then in zip(counters.counts, before, strict=True))
        new = np.array(counters.counts) - (0 if restarted else np.array(before))
        if new.sum() > MOST_COUNTED:
            raise LineError(f"it counts more than {MOST_COUNTED} new images")
        self.progress.devices.pop(counters.device, None)  # so that it is the latest
        self.progress.devices[counters.device] = list(counters.counts)
        random = np.random.default_rng([SEED, self.watch.images, 1])
        for number in random.permutation(np.repeat(np.arange(expected), new)):
            self._take_score(float(number) + random.random(), counters.device)

    def _take_score(self, score: float, name: str) -> None:
        raised = self.watch.take(score, name)
        flagged = score >= self.watch.reference.threshold
        self.course.take(
            self.watch.images, self.watch.drift_log_capital(), self.watch.rate_log_capital(), bool(flagged)
        )
        if raised:
            log(describe(self.watch.alarms[-1]))


def run(
    session: Session, source: str, page: Path | None = None, on_alarm: str | None = None, status_only: bool = False
) -> bool:
    """Count the lines of a source, `-` for standard input; returns whether there is or was an alarm.

    The state is written after every piece that was read, with how far that is. A file goes on where it was left. What
    stands in a pipe is gone once it is read, so that a kill can lose some lines but never counts one twice.
    """
    if not status_only:
        for lines in _pieces(source, session.progress):
            for line in lines:
                session.take(line)
            monitor_state.write(session.path, session.state())
            _tell(session, on_alarm)
    log(summary(session))
    if page is not None:
        monitor_page.write(page, session.watch, session.course, session.positions, summary(session))
    return bool(session.watch.alarms)


def describe(alarm: Alarm) -> str:
    """An alarm in two sentences: what, since when, and what to do."""
    what = {
        "higher": "The scores of passed images became higher",
        "lower": "The scores of passed images became lower",
        "other": "The scores of passed images are distributed otherwise than before",
        "more": "More images are flagged than the training's threshold allows",
    }[alarm.direction]
    name = f" ({alarm.since_name})" if alarm.since_name else ""
    return f"ALARM at image {alarm.image}: {what}, since about image {alarm.since}{name}. What to do: " + (
        ADVICE[alarm.direction] + "."
    )


def summary(session: Session) -> str:
    """What is known so far, in a few lines."""
    watch = session.watch
    capitals: dict[Kind, float] = {"drift": watch.drift_log_capital(), "rate": watch.rate_log_capital()}
    limits = watch.limits()
    share = watch.flagged / watch.images if watch.images else 0.0
    lines = [
        f"{watch.images} images, {watch.flagged} flagged ({share:.2%}; allowed: {watch.highest_rate:.2%}), "
        f"{session.defects} known defects left out, {session.unusable} lines passed over.",
        "Evidence of drift: "
        + ", of more flagged images: ".join(
            f"{capitals[kind] / np.log(10):.1f} of {limits[kind] / np.log(10):.1f} decades" for kind in limits
        )
        + ".",
    ]
    if session.watch.own is None and watch.images:
        lines.append(f"Still settling: {len(watch.settling)} passed images of the first 100.")
    return "\n".join(lines + ([describe(alarm) for alarm in watch.alarms] or ["No alarm."]))


def _tell(session: Session, command: str | None) -> None:
    """Call a command for every alarm that it was not yet called for, with the alarm as JSON on standard input."""
    for alarm in session.watch.alarms:
        if alarm.told or command is None:
            continue
        content = json.dumps(asdict(alarm) | {"model": session.model, "message": describe(alarm)}, ensure_ascii=False)
        try:
            ended = subprocess.run(command, shell=True, input=content.encode(), timeout=COMMAND_SECONDS).returncode
        except subprocess.TimeoutExpired:
            ended = -1
        if ended:
            print(f"Warning: the command of --on-alarm failed ({ended}).", file=sys.stderr)
        alarm.told = True
        monitor_state.write(session.path, session.state())


def _pieces(source: str, progress: Progress) -> Iterator[list[bytes]]:
    """Yield the lines of a source, those of a piece of it at a time; `progress` says how far the piece goes."""
    if source == STANDARD_INPUT:
        yield from _split(sys.stdin.fileno(), last_line_counts=True)
        return
    path = Path(source).resolve()
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"The scores {source} cannot be read ({error.strerror}): give a file of lines, or -."
        ) from error
    try:
        yield from _file_pieces(handle, str(path), progress)
    finally:
        os.close(handle)


def _file_pieces(handle: int, name: str, progress: Progress) -> Iterator[list[bytes]]:
    known = progress.files.pop(name, None)
    offset = 0
    if known is not None and known.offset <= os.fstat(handle).st_size and _head(handle, known.head_bytes) == known.head:
        offset = known.offset
    os.lseek(handle, offset, os.SEEK_SET)
    for lines in _split(handle, last_line_counts=False):
        offset += sum(len(line) + 1 for line in lines)
        size = min(offset, HEAD_BYTES)
        progress.files.pop(name, None)
        progress.files[name] = FileProgress(offset=offset, head_bytes=size, head=_head(handle, size))
        yield lines
    if known is not None:
        progress.files.setdefault(name, known)


def _head(handle: int, size: int) -> str:
    return hashlib.sha256(os.pread(handle, size, 0)).hexdigest()


def _split(handle: int, last_line_counts: bool) -> Iterator[list[bytes]]:
    """Yield lists of whole lines as they come. A line that is too long to be one comes cut off, and is no JSON.

    In a file the last line may still be written: without an end, it waits for the next time.
    """
    rest = b""
    while True:
        try:
            piece = os.read(handle, CHUNK)
        except OSError as error:
            raise UserError(f"The scores cannot be read ({error.strerror}): give a file or a pipe.") from error
        if not piece:
            break
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST + CHUNK:
            raise UserError(f"The scores have a line of more than {LONGEST} bytes: give lines of fomoad predict.")
        if lines:
            yield lines
    if rest and last_line_counts:
        yield [rest]
