"""Score against the probability of one augmentation (paper Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.figures.scores import (
    METRICS,
    PAPER_COLUMNS,
    Scored,
    is_papers,
    protocol_line,
    same_test,
    spread_of,
    whiskers,
)
from train.figures.style import GREY, SMALL, FigureData, grid_lines, look, picture
from train.paper_results import paper_tables


def draw_probability(
    scored: Mapping[tuple[str, float], Sequence[Scored]],
    out: Path,
    metric: str = "tag.pr_auc",
    *,
    paper: bool | None = None,
) -> FigureData:
    """Draw a panel for each augmentation; returns the numbers.

    Args:
        scored: (augmentation, probability) -> scores; several are runs of different seeds.
        out: where probability.png, .svg, .json and .csv are written.
        metric: of :data:`METRICS`.
        paper: draw what the paper prints of MagnaTagATune: Table 2 at 0 and 1, and the probability its text calls best;
            None for where the scores are of it.

    Raises:
        FeatureError: the metric was not scored.
        ConfigError: the scores are of different data.
    """
    everything = [one for each in scored.values() for one in each]
    test = same_test(everything)
    rows: list[dict[str, Any]] = []
    for (name, probability), of_it in sorted(scored.items(), key=lambda item: item[0][1]):
        spread, count, what = spread_of([one.values(metric) for one in of_it])
        numbers = {"mean": spread.mean, "deviation": spread.deviation, "count": count, "of": what}
        rows.append({"augmentation": name, "probability": probability, **numbers})
    names = list(dict.fromkeys(name for name, _ in scored))
    drawn = is_papers(everything, paper)
    table, column = paper_tables()["Figure 4"], PAPER_COLUMNS.get(metric)
    printed = [
        {"augmentation": name, "probability": row.keys["probability"], "mean": row.scores[column] / 100}
        for name in names
        for row in table.select(transform=name.capitalize())
        if drawn and column is not None and column in row.scores
    ]
    best = {name: table.best[name.capitalize()] for name in names if drawn and name.capitalize() in table.best}
    note = (
        " Grey, dotted: the paper's Table 2, without the augmentation and with it always; the paper's own scores "
        "between are not printed. Upright: the best of 0, 0.4 and 0.8 by the paper's text."
    )
    data = FigureData(
        title=f"{METRICS[metric]}, by the probability of one augmentation: {test}",
        caption=f"{protocol_line(everything)} {whiskers([(row['count'], row['of']) for row in rows])}"
        f"{note if printed or best else ''}",
        rows=tuple(rows),
        facts={"metric": metric, "paper": printed, "paper_best": best},
    )
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    with picture(data, out, "probability", height=1.8 + 1.75 * lines, grid=(lines, columns)) as (figure, axes):
        for panel in axes[len(names) :]:
            panel.set_axis_off()
        for index, (panel, name) in enumerate(zip(axes, names, strict=False)):
            own = [row for row in rows if row["augmentation"] == name]
            panel.errorbar(
                [row["probability"] for row in own],
                [row["mean"] for row in own],
                yerr=[row["deviation"] or 0.0 for row in own],
                capsize=3,
                markersize=6,
                linewidth=1.6,
                **look(0),
            )
            paired = [(each["probability"], each["mean"]) for each in printed if each["augmentation"] == name]
            if paired:
                panel.plot(*zip(*paired, strict=True), "o:", color=GREY, markersize=4)
            if name in best:
                panel.axvline(best[name], color=GREY, linewidth=0.8)
            panel.set_title(name, loc="left")
            panel.set(xticks=sorted({row["probability"] for row in rows}), xlim=(-0.08, 1.08))
            grid_lines(panel, "y")
            if index >= len(names) - columns:
                panel.set_xlabel("probability", fontsize=SMALL + 1)
        figure.supylabel(METRICS[metric], fontsize=SMALL + 2)
    return data
