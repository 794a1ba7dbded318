"""ROC-AUC of every tag, sorted, of one system or several (paper Figure C.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clmr.errors import FeatureError
from train.figures.scores import Scored, protocol_line, same_test, spread_of, whiskers
from train.figures.style import GREY, TEXT, FigureData, grid_lines, look, picture
from train.spread import Spread

NAMES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC"}


def tag_spreads(scored: Sequence[Scored], metric: str) -> dict[str, tuple[Spread, int, str]]:
    """Of each tag scored in all folders: spread, over how many of what."""
    each = [one.tags(metric) for one in scored]
    shared = [tag for tag in each[0] if all(tag in tags for tags in each)]
    return {tag: spread_of([tags[tag] for tags in each]) for tag in shared}


def draw_tags(systems: Mapping[str, Sequence[Scored]], out: Path, metric: str = "roc_auc") -> FigureData:
    """Draw the first system as bars, sorted, and the others as markers on them; returns the numbers.

    Args:
        systems: name -> its scores; several are runs of different seeds.
        out: where tags.png, .svg, .json and .csv are written.
        metric: ``roc_auc`` or ``pr_auc``.

    Raises:
        FeatureError: there are no tags that all of them were scored on.
        ConfigError: they were scored on different data.
    """
    everything = [one for scored in systems.values() for one in scored]
    test = same_test(everything)
    spreads = {name: tag_spreads(scored, metric) for name, scored in systems.items()}
    first, *others = spreads
    tags = [tag for tag in spreads[first] if all(tag in spreads[other] for other in others)]
    if not tags:
        raise FeatureError("there is no tag that all of these were scored on")
    left_out = len({tag for each in spreads.values() for tag in each}) - len(tags)
    tags.sort(key=lambda tag: (-spreads[first][tag][0].mean, tag))
    kinds = [(count, what) for each in spreads.values() for _, count, what in each.values()]
    rows: list[dict[str, Any]] = []
    for tag in tags:
        row: dict[str, Any] = {"tag": tag}
        for name, each in spreads.items():
            row |= {name: each[tag][0].mean, f"{name} deviation": each[tag][0].deviation}
        rows.append(row)
    chance = " Bars start at chance, 0.5." if metric == "roc_auc" else ""
    data = FigureData(
        title=f"{NAMES[metric]} of each tag: {test}",
        caption=f"{protocol_line(everything)} {whiskers(kinds)}{chance} Sorted by {first}."
        + (f" {left_out} tags that not all were scored on are left out." if left_out else ""),
        rows=tuple(rows),
        facts={"metric": f"tag.{metric}", "left_out": left_out},
    )
    height = 1.7 + 0.24 * len(tags)
    with picture(data, out, "tags", height=height) as (_, (axes,)):
        places = np.arange(len(tags))
        start = 0.5 if metric == "roc_auc" else 0.0
        for index, (name, each) in enumerate(spreads.items()):
            means = np.array([each[tag][0].mean for tag in tags])
            deviations = [each[tag][0].deviation or 0.0 for tag in tags]
            colour, marker = look(index).values()
            if not index:
                axes.barh(places, means - start, left=start, color=colour, alpha=0.35, height=0.8)
            shown = {"color": colour, "markersize": 5, "elinewidth": 1.2, "linestyle": "none", "clip_on": False}
            beside = places + 0.18 * (index - (len(spreads) - 1) / 2)  # whiskers would hide each other
            axes.errorbar(means, beside, xerr=deviations, fmt=marker, label=name, **shown)
        axes.set_yticks(places, tags, fontsize=min(TEXT, 10))
        axes.set(ylim=(len(tags) - 0.4, -0.6), xlabel=NAMES[metric])
        lowest = min(row[name] - (row[f"{name} deviation"] or 0) for row in rows for name in spreads)
        axes.set_xlim(min(start, lowest - 0.01), 1.0 if metric == "roc_auc" else None)
        if metric == "roc_auc":
            axes.axvline(0.5, color=GREY, linewidth=0.8)
        grid_lines(axes, "x")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return data
