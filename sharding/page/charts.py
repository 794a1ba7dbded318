"""Charts as inline SVG. Positions across are percentages, so a chart fits its column and its text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from sharding.page.histogram import Histogram
from sharding.page.markup import Markup, element, join
from sharding.page.units import count

PLOT_HEIGHT = 150  # pixels
ABOVE, BELOW = 8, 24  # pixels over the highest bar, and for the numbers on the axis
MOST_GRID_LINES = 4
LEAST_BAR = 1.5  # pixels: one track among a million can be seen


def histogram_chart(bins: Histogram, value: Callable[[float], str], description: str) -> Markup:
    """Bars side by side over an axis of values.

    Args:
        bins: what to draw.
        value: writes a value on the axis.
        description: the chart in one sentence, for those who do not see it.
    """
    grid = _grid(int(bins.counts.max()))
    highest = max(grid[-1], int(bins.counts.max()))
    baseline = ABOVE + PLOT_HEIGHT
    width = 100 / len(bins)
    bars = []
    for number, tracks in enumerate(bins.counts.tolist()):
        height = max(PLOT_HEIGHT * tracks / highest, LEAST_BAR) if tracks else 0
        label = element("title", f"{bin_name(bins, number, value)}: {count(tracks)}")
        box = {"x": f"{number * width:.4g}%", "width": f"{width:.4g}%"}
        bars.append(element("rect", y=baseline - height, height=height, class_="bar", **box))
        bars.append(element("rect", label, y=ABOVE, height=PLOT_HEIGHT, class_="hover", **box))
    heights = {tracks: round(baseline - PLOT_HEIGHT * tracks / highest, 1) for tracks in grid}
    plot = element(
        "svg",
        *(element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid") for y in heights.values()),
        *bars,
        element("line", x1=0, x2="100%", y1=baseline, y2=baseline, class_="axis"),
        _ticks(bins, value, baseline + 17),
        height=baseline + BELOW,
        role="img",
        aria_label=description,
    )
    scale = element(
        "svg",
        *(
            element("text", count(tracks), x="100%", y=y + 4, text_anchor="end", class_="tick")
            for tracks, y in heights.items()
        ),
        class_="scale",
        height=baseline + BELOW,
        aria_hidden="true",
    )
    return element("div", scale, plot, class_="histogram")


def bin_name(bins: Histogram, number: int, value: Callable[[float], str]) -> str:
    """A bin in words; the outer ones say when they hold what lies beyond."""
    if number == 0 and bins.below:
        return f"below {value(bins.edge(1))}"
    if number == len(bins) - 1 and bins.above:
        return f"{value(bins.edge(number))} and more"
    return f"{value(bins.edge(number))} to {value(bins.edge(number + 1))}"


def split_bar(parts: Mapping[str, float], whole: float, description: str | None = None) -> Markup:
    """One bar, a part for each split; ``whole`` is its full width. Without a description it only decorates."""
    pieces, begin = [], 0.0
    for split, part in parts.items():
        width = 100 * part / whole if whole else 0.0
        if width:
            pieces.append(
                element("rect", x=f"{begin:.4g}%", width=f"{width:.4g}%", height="100%", class_=f"split-{split}")
            )
        begin += width
    label: dict[str, str] = {"role": "img", "aria_label": description} if description else {"aria_hidden": "true"}
    return element("svg", *pieces, class_="split-bar", **label)


def legend(splits: Iterable[str]) -> Markup:
    """Which colour stands for which split."""
    items = (element("li", element("i", class_=f"swatch split-{split}"), split) for split in splits)
    return element("ul", *items, class_="legend")


def _grid(highest: int) -> list[int]:
    """Round numbers of tracks at which lines are drawn, the last one near the highest bar."""
    power = 10 ** max(0, int(math.log10(max(highest, 1))) - 1)
    steps = (power * factor for factor in (1, 2, 5, 10, 20, 50, 100))
    step = next(step for step in steps if highest / step <= MOST_GRID_LINES)
    return list(range(step, max(highest, step) + 1, step))


def _ticks(bins: Histogram, value: Callable[[float], str], y: float) -> Markup:
    """Numbers on the axis, below round edges."""
    named = (number for number in range(len(bins) + 1) if (bins.first + number) % bins.stride == 0)
    return join(
        *(
            element(
                "text",
                value(bins.edge(number)),
                x=f"{100 * number / len(bins):.4g}%",
                y=y,
                text_anchor="middle",
                class_="tick",
            )
            for number in named
        )
    )
