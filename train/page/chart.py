"""A line chart as inline SVG. The curve is stretched to its column; texts keep their size, placed by percentages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sharding.page.markup import Markup, element

PLOT_HEIGHT = 170  # pixels
ABOVE, BELOW = 10, 24  # pixels over the highest line of the grid, and for the numbers of the steps
UNITS = 1000  # of the drawing, across and up
MOST_POINTS = 600  # of a curve: more than a screen has columns for it
GRID_LINES = 4

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    points: Points
    """Step and value, in order of steps."""
    dotted: float | None = None
    """A value to compare with, drawn across the chart."""


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that enclose a range of finite values; the first and the last bound the axis."""
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high), 1e-6):  # a constant: no finer than what is written on the axis
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        span = high - low
    power = 10 ** math.floor(math.log10(span / GRID_LINES))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= GRID_LINES)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most two more than ``most``: the lowest and the highest point of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return points
    kept = {0, len(points) - 1}
    for number in range(most // 2):
        begin, end = (len(points) * edge // (most // 2) for edge in (number, number + 1))
        here = range(begin, end)
        kept |= {min(here, key=lambda at: points[at][1]), max(here, key=lambda at: points[at][1])}
    return [points[at] for at in sorted(kept)]


def line_chart(curves: Mapping[str, Curve], description: str) -> Markup | None:
    """Curves over the steps; None where no value is finite.

    Args:
        curves: name -> curve.
        description: the chart in one sentence, for those who do not see it.
    """
    finite = {
        key: Curve([point for point in curve.points if math.isfinite(point[1])], curve.dotted)
        for key, curve in curves.items()
    }
    points = [point for curve in finite.values() for point in curve.points]
    if not points:
        return None
    heights = [value for _, value in points] + [each.dotted for each in finite.values() if each.dotted is not None]
    marks, first = ticks(min(heights), max(heights)), min(step for step, _ in points)
    last = max(*(step for step, _ in points), first + 1)

    def up(value: float) -> float:
        return UNITS * (1 - (value - marks[0]) / (marks[-1] - marks[0]))

    drawn = []
    for number, curve in enumerate(finite.values()):
        corners = [(UNITS * (step - first) / (last - first), up(value)) for step, value in thin(curve.points)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) if corners else ""
        # A line to where it is already: a single point is a dot.
        lone = " lone" if len(corners) == 1 else ""
        drawn.append(element("path", d=path + "h0" * bool(path), class_=f"curve of-{number % 4}{lone}"))
        if curve.dotted is not None:
            y = f"{up(curve.dotted):.1f}"
            drawn.append(element("path", d=f"M0 {y}H{UNITS}", class_=f"curve of-{number % 4} dotted"))
    places = [ABOVE + PLOT_HEIGHT * up(mark) / UNITS for mark in marks]
    height = ABOVE + PLOT_HEIGHT + BELOW
    scale = (
        element("text", number_words(mark), x="100%", y=y + 4, text_anchor="end", class_="tick")
        for mark, y in zip(marks, places, strict=True)
    )
    return element(
        "div",
        element("svg", *scale, class_="scale", height=height, aria_hidden="true"),
        element(
            "svg",
            *(element("line", x1=0, x2="100%", y1=round(y, 1), y2=round(y, 1), class_="grid") for y in places),
            element(
                "svg",
                *drawn,
                y=ABOVE,
                width="100%",
                height=PLOT_HEIGHT,
                viewBox=f"0 0 {UNITS} {UNITS}",
                preserveAspectRatio="none",
                class_="plot",
            ),
            element("text", f"step {first:,.0f}", x="0", y=height - 6, class_="tick"),
            element("text", f"{last:,.0f}", x="100%", y=height - 6, text_anchor="end", class_="tick")
            if any(step == last for step, _ in points)
            else None,
            height=height,
            role="img",
            aria_label=description,
        ),
        class_="chart",
    )


def number_words(value: float) -> str:
    """A number on an axis: with a true minus sign, and no more digits than it has."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")
