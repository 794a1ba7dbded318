"""How every figure looks and how it is written: a picture (PNG, SVG) and its numbers (JSON, CSV) beside it.

Pictures are 6.4 inches wide with 11 point text, which can be read at 800 pixels and on a telephone. The colours are
Okabe and Ito's, told apart by the colour-blind; a curve also has a marker of its own and its name at its end.
"""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sharding.publish import publish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#6B6B6B"
"""Of captions, and of what the paper prints."""
WIDTH_INCHES = 6.4
DPI = 200
TEXT = 11  # points
SMALL = 9
RC: Any = {
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a dollar in a name is one
    "svg.hashsalt": "clmr",  # the same picture has the same bytes
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class FigureData:
    """What a figure shows."""

    title: str
    """Data and measure, in a line or two."""
    caption: str
    """Protocol: what was done, what a whisker is."""
    rows: tuple[dict[str, Any], ...]
    """The numbers, one line of the CSV each; all with the same keys."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Settings and sizes, for the JSON alone."""


def write_numbers(data: FigureData, out: Path, name: str) -> None:
    """Write ``name.json``, everything, and ``name.csv``, the rows."""
    document = {
        "figure": name,
        "title": data.title,
        "caption": data.caption,
        **data.facts,
        "rows": list(data.rows),
    }
    with publish(out / f"{name}.json") as path:
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with publish(out / f"{name}.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(data.rows[0]))
        writer.writeheader()
        writer.writerows(data.rows)


@contextmanager
def picture(
    data: FigureData, out: Path, name: str, *, height: float = 4.4, svg: bool = True, grid: tuple[int, int] = (1, 1)
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Draw in the body of the ``with``; then ``name.png``, ``name.svg`` and the numbers are written to ``out``.

    Args:
        data: with title and caption, which stand above and below.
        out: folder, made where it is missing.
        name: of the files.
        height: inches, of 6.4 in width.
        svg: False where it would hold thousands of points.
        grid: rows and columns of axes, which share what is up.

    Yields:
        The figure and its axes, row by row.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator

    with mpl.rc_context(RC):
        # At the PNG's own resolution: texts laid out at another have other widths and may be cut off at the edge.
        figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(np.ravel(figure.subplots(*grid, sharey=grid[1] > 1)))
        figure.suptitle(textwrap.fill(data.title, 58), x=0.015, ha="left", fontsize=TEXT + 1, fontweight="bold")
        figure.supxlabel(textwrap.fill(data.caption, 92), x=0.015, ha="left", fontsize=SMALL, color=GREY)
        yield figure, axes
        figure.draw_without_rendering()
        for each in axes:
            # Else the layout measures other ticks than those that are drawn, whose longer numbers run over the edge.
            each.yaxis.set_major_locator(FixedLocator(each.get_yticks()))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is found; each file would look for it again
        with publish(out / f"{name}.png") as path:
            figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})
        if svg:
            with publish(out / f"{name}.svg") as path:
                figure.savefig(path, format="svg", metadata={"Date": None})
        write_numbers(data, out, name)


def grid_lines(axes: Axes, axis: str = "both") -> None:
    """The lines behind the data."""
    axes.grid(axis=axis, alpha=0.3)  # type: ignore[arg-type]  # its annotation wants a literal


def look(index: int) -> dict[str, Any]:
    """Colour and marker of the curve of that number."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def spread_out(heights: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres of one or more things of these sizes, moved so that none touch, their order kept.

    Those that touch are merged and laid around the mean of their wishes, as pool-adjacent-violators does.
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    ordered = [sizes[index] for index in order]
    above_first = np.cumsum(ordered) - (np.array(ordered) + ordered[0]) / 2  # of centres that just touch
    runs: list[tuple[float, int]] = []  # sum of the wishes for the first centre, length
    for place, index in enumerate(order):
        runs.append((heights[index] - float(above_first[place]), 1))
        while len(runs) > 1 and runs[-2][0] / runs[-2][1] > runs[-1][0] / runs[-1][1]:
            total, length = runs.pop()
            runs[-1] = runs[-1][0] + total, runs[-1][1] + length
    starts = [total / length for total, length in runs for _ in range(length)]
    moved = [0.0] * len(heights)
    for place, index in enumerate(order):
        moved[index] = starts[place] + float(above_first[place])
    return moved


def label_ends(axes: Axes, ends: Iterable[tuple[float, float, str]], colours: Mapping[str, str]) -> None:
    """Write the name of each curve right of the axes at the height where it ends; call it when the limits are final.

    Args:
        axes: the limits of which no longer change.
        ends: x and y of a curve's last point, and its name.
        colours: by name.
    """
    listed = list(ends)
    if not listed:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout decides how high the axes are
    bottom, top = axes.get_ylim()
    line = TEXT * 1.25 / 72 * figure.dpi * (top - bottom) / axes.get_window_extent().height
    names = [textwrap.fill(name, 18) for _, _, name in listed]
    places = spread_out([y for _, y, _ in listed], [line * (name.count("\n") + 1) for name in names])
    for (x, y, name), place, text in zip(listed, places, names, strict=True):
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(1.03, place),
            textcoords=axes.get_yaxis_transform(),
            color=colours[name],
            va="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "lw": 0.6, "alpha": 0.6, "shrinkA": 1, "shrinkB": 4},
            annotation_clip=False,
        )
