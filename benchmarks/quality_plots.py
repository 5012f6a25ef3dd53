"""Pictures of the quality table."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from benchmarks.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, document, text

COLOURS = {"float32": "#1f6fb2", "int8": "#d1661b", "": "#666666"}


class Figures(Protocol):
    """What of a row is drawn."""

    auroc: float
    flash: int | None


def write(out: Path, means: Mapping[tuple[str, str], Figures]) -> None:
    """Write auroc.svg, a bar a setting, and cost.svg, AUROC over the file's size."""
    (out / "auroc.svg").write_text(_bars({key: row.auroc for key, row in means.items()}))
    sizes = {key: (row.flash / 1024, row.auroc) for key, row in means.items() if row.flash}
    if sizes:
        (out / "cost.svg").write_text(_scatter(sizes))


def _bars(values: dict[tuple[str, str], float]) -> str:
    """Horizontal bars from 0.5, the AUROC of guessing."""
    step = 24
    height = TOP + step * len(values) + 20
    parts = []
    for index, ((setting, file), value) in enumerate(values.items()):
        y = TOP + index * step
        length = max(0.0, value - 0.5) / 0.5 * (WIDTH - 300)
        parts.append(text(230, y + 14, f"{setting} {file}".strip(), "end"))
        parts.append(f'<rect x="240" y="{y}" width="{length:.1f}" height="18" fill="{COLOURS[file]}"/>')
        parts.append(text(246 + length, y + 14, f"{value:.3f}"))
    parts.append(text(240, height - 4, "image AUROC; bars start at 0.5, guessing"))
    return document(height, parts)


def _scatter(points: dict[tuple[str, str], tuple[float, float]]) -> str:
    """AUROC over kilobytes of flash, on a logarithmic axis of powers of two."""
    low, high = 64.0, max(128.0, *(2 * size for size, _ in points.values()))
    floor = min(value for _, value in points.values()) - 0.01
    ceiling = max(value for _, value in points.values()) + 0.01
    octaves = math.log2(high / low)

    def place(size: float, value: float) -> tuple[float, float]:
        x = LEFT + math.log2(size / low) / octaves * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - (value - floor) / (ceiling - floor) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for (setting, file), (size, value) in points.items():
        x, y = place(size, value)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[file]}"/>')
        parts.append(text(x + 8, y + 4, f"{setting.removesuffix(' (default)')}, {file}"))
    for octave in range(0, int(octaves) + 1, 2):
        x, _ = place(low * 2**octave, floor)
        parts.append(text(x, HEIGHT - BOTTOM + 16, f"{low * 2**octave:,.0f}", "middle"))
    for value in (floor, ceiling):
        parts.append(text(LEFT - 6, place(low, value)[1] + 4, f"{value:.2f}", "end"))
    parts.append(text(LEFT, HEIGHT - 8, "image AUROC over the model file's size in KB"))
    return document(HEIGHT, parts)
