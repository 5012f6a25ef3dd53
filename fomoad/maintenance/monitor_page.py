"""The page of `fomoad monitor`: the verdict, the course over time, and where in the map scores moved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from fomoad.data.new_file import replace_file
from fomoad.errors import UserError
from fomoad.maintenance.history import Course, Positions
from fomoad.maintenance.page import render
from fomoad.maintenance.watch import Watch

WIDTH: Final = 860
HEIGHT: Final = 200
LEFT: Final = 50
BOTTOM: Final = 22
LARGEST: Final = 3.0
"""Deviations that a position's colour is strongest at."""
LEAST_DECADES: Final = 4.0
MOST_DECADES: Final = 30.0
"""The axis ends here: beyond, nobody asks how sure it is."""
TITLES: Final = {"drift": "What the model sees has changed", "rate": "More images are flagged than was promised"}


def write(path: Path, watch: Watch, course: Course, positions: Positions | None, summary: str) -> None:
    """Write the page in the place of an earlier one. Raises UserError where that cannot be done."""
    lines = summary.split("\n")
    moved = None if positions is None else positions.moved()
    alarms = [
        {"title": TITLES[alarm.kind], "text": next(line for line in lines if f"ALARM at image {alarm.image}:" in line)}
        for alarm in watch.alarms
    ]
    page = render(
        "monitor.html.jinja",
        alarms=alarms,
        false_alarm=f"{watch.false_alarm:.3%}",
        summary=[line for line in lines if not line.startswith("ALARM")],
        course=_course(course, {kind: limit / np.log(10) for kind, limit in watch.limits().items()}),
        shares=_chart({"rate": [(point[0], point[3]) for point in course.points]}, {}, "share of images"),
        bins=_bins(watch),
        map=None if moved is None else _map(moved),
    )
    try:
        replace_file(path, page.encode())
    except OSError as error:
        raise UserError(f"The page {path} cannot be written ({error.strerror}): give another with --page.") from error


def _course(course: Course, limits: dict[str, float]) -> Markup:
    series = {
        kind: [
            (point[0], min(max(point[column] / np.log(10), -LEAST_DECADES), MOST_DECADES)) for point in course.points
        ]
        for column, kind in ((1, "drift"), (2, "rate"))
    }
    return _chart(series, limits, "decades")


def _chart(series: dict[str, list[tuple[int, float]]], limits: dict[str, float], unit: str) -> Markup:
    """Lines over the number of the image, and dashed ones where alarms are raised. A series' name is its class."""
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("<p>Nothing yet.</p>")
    last = max(x for x, _ in points)
    values = [0.0, *(y for _, y in points), *limits.values()]
    low, high = min(values), max(*values, 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / last * (WIDTH - LEFT - 80)
        return across, 8 + (high - y) / (high - low) * (HEIGHT - BOTTOM - 8)

    parts = [_line(*place(0, 0), *place(last, 0), "axis")]
    for name, limit in limits.items():
        parts.append(_line(*place(0, limit), *place(last, limit), "limit"))
        parts.append(_text(*place(last, limit), f"{name} alarm"))
    for name, line in series.items():
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(name, corners))
        parts.append(_text(place(*line[-1])[0], place(*line[-1])[1] + 12, name))
    for value in (low, high):
        parts.append(_text(2, place(0, value)[1] + 4, f"{value:.3g}"))
    parts += [_text(LEFT, HEIGHT - 4, f"image 0 ({unit})"), _text(place(last, 0)[0] - 60, HEIGHT - 4, f"image {last}")]
    return _svg(HEIGHT, parts)


def _bins(watch: Watch) -> Markup:
    """Bars for the bins of the training's reference: the share expected and the share found."""
    counts = watch.training.counts[0]
    expected, found = watch.reference.gaps / watch.reference.gaps.sum(), counts / max(1, counts.sum())
    # Each bin is as wide as its expected share, so that an unchanged stream gives bars of equal height.
    edges = LEFT + np.concatenate([[0], np.cumsum(expected)]) * (WIDTH - LEFT - 20)
    ratio = np.minimum(found / expected, 4)
    unit = (HEIGHT - BOTTOM - 8) / max(1.5, ratio.max())
    base = HEIGHT - BOTTOM
    parts = []
    for left, right, share, times in zip(edges[:-1], edges[1:], found, ratio, strict=True):
        parts.append(_bar(left, base - unit, right - left, unit, "expected", ""))
        inset = 0.15 * (right - left)
        label = f"{share:.2%} found, {(right - left) / (edges[-1] - LEFT):.2%} expected"
        parts.append(_bar(left + inset, base - times * unit, right - left - 2 * inset, times * unit, "found", label))
    parts += [_text(LEFT, HEIGHT - 4, "lowest scores"), _text(WIDTH - 160, HEIGHT - 4, "highest that pass")]
    return _svg(HEIGHT, parts)


def _map(moved: NDArray[np.float64]) -> Markup:
    """A square for every position, in the colour of its direction and as strong as it moved."""
    rows, columns = moved.shape
    side = 320 / max(rows, columns)
    parts = []
    for row in range(rows):
        for column in range(columns):
            value = float(moved[row, column])
            strength = min(abs(value) / LARGEST, 1.0)
            label = f"row {row + 1}, column {column + 1}: {value:+.2f}"
            shape = _bar(LEFT + column * side, row * side, side, side, "up" if value > 0 else "down", label, strength)
            parts.append(shape)
    return _svg(round(rows * side), parts)


def _svg(height: int, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img">{}</svg>').format(WIDTH, height, Markup("").join(parts))


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def _text(x: float, y: float, content: str) -> Markup:
    return Markup(f'<text x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>')


def _bar(x: float, y: float, width: float, height: float, kind: str, label: str, strength: float = 1.0) -> Markup:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.1):.1f}" height="{max(height, 0):.1f}"'
    title = f"<title>{escape(label)}</title>" if label else ""
    return Markup(f'<rect class="{kind}" {box} fill-opacity="{strength:.2f}">{title}</rect>')
