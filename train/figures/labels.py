"""Score against the share of the labels used for training (paper Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.figures.scores import METRICS, PAPER_COLUMNS, Scored, protocol_line, same_test, spread_of, whiskers
from train.figures.style import GREY, FigureData, grid_lines, label_ends, look, picture
from train.paper_results import paper_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = {"mtat": "Figure 5", "msd": "Figure 6"}
"""Data set -> the paper's figure of it."""


def curve(scored: Sequence[Scored], metric: str) -> list[dict[str, Any]]:
    """A row for each share of labels, smallest first."""
    rows = []
    for fraction in sorted({one.label_fraction for one in scored}):
        of_it = [one for one in scored if one.label_fraction == fraction]
        spread, count, what = spread_of([one.values(metric) for one in of_it])
        tracks = of_it[0].protocol.get("tracks")
        rows.append(
            {
                "label_fraction": fraction,
                "train_tracks": tracks.get("train") if isinstance(tracks, dict) else None,
                "mean": spread.mean,
                "deviation": spread.deviation,
                "count": count,
                "of": what,
            }
        )
    return rows


def paper_points(figure: str | None, metric: str) -> list[dict[str, Any]]:
    """What the paper's text prints of the curves, as shares."""
    if figure is None:
        return []
    return [
        {"model": row.keys["model"], "label_fraction": row.keys["label_fraction"], "mean": row.scores[column] / 100}
        for row in paper_tables()[figure].rows
        if (column := PAPER_COLUMNS.get(metric)) in row.scores and column is not None
    ]


def draw_labels(
    systems: Mapping[str, Sequence[Scored]], out: Path, metric: str = "tag.pr_auc", *, paper: bool | None = None
) -> FigureData:
    """Draw a curve for each system; returns the numbers.

    Args:
        systems: name -> scores of one share of labels or several; those of the same share are runs of different seeds.
        out: where labels.png, .svg, .json and .csv are written.
        metric: of :data:`METRICS`.
        paper: draw the paper's points; None for where the data set is one of the paper's two.

    Raises:
        FeatureError: the metric was not scored.
        ConfigError: the systems were scored on different data.
    """
    everything = [one for scored in systems.values() for one in scored]
    test = same_test(everything)
    curves = {name: curve(scored, metric) for name, scored in systems.items()}
    figure = FIGURES.get(str(everything[0].protocol.get("dataset")), "Figure 5" if paper else None)
    printed = paper_points(None if paper is False else figure, metric)
    kinds = [(row["count"], row["of"]) for rows in curves.values() for row in rows]
    note = " Grey, dotted: the points that the paper prints; the lines between them are only to guide the eye."
    data = FigureData(
        title=f"{METRICS[metric]}, by share of the labels: {test}",
        caption=f"{protocol_line(everything)} {whiskers(kinds)}{note if printed else ''}",
        rows=tuple({"system": name, **row} for name, rows in curves.items() for row in rows),
        facts={"metric": metric, "paper": printed},
    )
    with picture(data, out, "labels") as (_, (axes,)):
        axes.set_xscale("log")
        colours, ends = {}, []
        for index, (name, rows) in enumerate(curves.items()):
            shares, means = [100 * row["label_fraction"] for row in rows], [row["mean"] for row in rows]
            deviations = [row["deviation"] or 0.0 for row in rows]
            axes.errorbar(shares, means, yerr=deviations, capsize=3, markersize=6, linewidth=1.6, **look(index))
            colours[name] = look(index)["color"]
            ends.append((shares[-1], means[-1], name))
        for model in dict.fromkeys(point["model"] for point in printed):
            points = [(100 * point["label_fraction"], point["mean"]) for point in printed if point["model"] == model]
            axes.plot(*zip(*points, strict=True), "o:", color=GREY, markersize=4)
            colours[f"{model}, paper"] = GREY
            ends.append((*points[-1], f"{model}, paper"))
        drawn = [*(row for rows in curves.values() for row in rows), *printed]
        _name_shares(axes, sorted({100 * row["label_fraction"] for row in drawn}))
        axes.set(xlabel="training songs with labels (%)", ylabel=METRICS[metric])
        grid_lines(axes)
        label_ends(axes, ends, colours)
    return data


def _name_shares(axes: Axes, shares: list[float]) -> None:
    """Ticks at the shares that are drawn, where they stand apart."""
    kept: list[float] = []
    for share in reversed(shares):
        if not kept or kept[-1] / share > 1.35:  # closer labels would touch
            kept.append(share)
    axes.set_xticks(kept, [f"{share:g}" for share in kept])
    axes.set_xticks([], minor=True)
    if len(shares) == 1:  # a logarithmic axis finds no limits around a single point
        axes.set_xlim(shares[0] / 2, shares[0] * 2)
