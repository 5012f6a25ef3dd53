"""Small SVG pictures, written by hand so that no plotting library is needed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 20, 45
COLOURS = ("#1f6fb2", "#d1661b", "#3a8f4d", "#8a4fa3", "#666666")


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    """A line of text that starts, ends or is centred (`middle`) at a point."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def document(height: int, parts: Iterable[str]) -> str:
    """A picture of the usual width on a white ground."""
    box = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>"]) + "\n"


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str) -> str:
    """A line for each series of (x, y), x ascending; x on a logarithmic axis, y from 0."""
    points = [point for line in series.values() for point in line]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    decades = math.log10(high / low) if high > low else 1.0
    ceiling = 1.1 * max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + math.log10(x / low) / decades * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - y / ceiling * (HEIGHT - TOP - BOTTOM)

    parts = []
    for colour, (name, line) in zip(COLOURS, series.items(), strict=False):
        places = [place(*point) for point in line]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(places, line, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            parts.append(text(x + 6, y - 6, f"{value:.2g}" if value < 10 else f"{value:,.0f}"))
        x, y = places[-1]
        parts.append(text(x + 12, y + 14, name))
    for x in sorted({x for x, _ in points}):
        parts.append(text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:,.0f}", "middle"))
    (x0, y0), (x1, _) = place(low, 0), place(high, 0)
    parts.append(f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y0:.1f}" stroke="#444"/>')
    parts.append(text(LEFT, HEIGHT - 8, x_title))
    parts.append(text(LEFT, TOP - 6, y_title))
    return document(HEIGHT, parts)
