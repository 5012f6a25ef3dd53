"""Pictures of measurements, as SVG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS: Final = {"float32": "#1f6fb2", "int8": "#d1661b"}
GREY: Final = "#666666"
POINTS_A_BAR: Final = 0.3
"""Inches of height for each bar."""


def lines(path: Path, series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str) -> None:
    """A line for each series of (x, y); x on a logarithmic axis, y from 0."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
        for x, y in points:
            axes.annotate(f"{y:.2g}" if y < 10 else f"{y:,.0f}", (x, y), (4, 4), textcoords="offset points")
    axes.set(xlabel=x_title, ylabel=y_title, xscale="log", ylim=(0, None))
    axes.legend(frameon=False)
    _save(figure, path)


def bars(path: Path, values: Mapping[tuple[str, str], float], title: str, start: float) -> None:
    """A horizontal bar from `start` for each (setting, model file)."""
    figure = Figure(figsize=(7, 1 + POINTS_A_BAR * len(values)), layout="constrained")
    axes = figure.subplots()
    names = [f"{setting} {file}".strip() for setting, file in values]
    drawn = axes.barh(names, [value - start for value in values.values()], left=start, color=_colours(values))
    axes.bar_label(drawn, [f"{value:.3f}" for value in values.values()], padding=3)
    axes.set(xlabel=title, xlim=(start, 1.03))
    axes.invert_yaxis()
    _save(figure, path)


def scatter(path: Path, points: Mapping[tuple[str, str], tuple[float, float]], x_title: str, y_title: str) -> None:
    """A point (x, y) for each (setting, model file); x on a logarithmic axis of powers of two."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*zip(*points.values(), strict=True), color=_colours(points))
    for (setting, file), point in points.items():
        axes.annotate(f"{setting}, {file}", point, (5, 3), textcoords="offset points", fontsize=8)
    axes.set(xlabel=x_title, ylabel=y_title)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _save(figure, path)


def _colours(keys: Mapping[tuple[str, str], object]) -> list[str]:
    return [COLOURS.get(file, GREY) for _, file in keys]


def _save(figure: Figure, path: Path) -> None:
    """Write the picture; the same picture gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "fomoad", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
