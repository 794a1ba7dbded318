"""Score against the number of parameters (paper Figure 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clmr.errors import ClmrError, ConfigError, FeatureError
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
from train.figures.style import GREY, SMALL, FigureData, grid_lines, label_ends, look, picture
from train.paper_results import paper_tables


def count_parameters(scored: Scored, name: str) -> int:
    """Parameters of what was scored: of the encoder behind a probe, or of a supervised network.

    Raises:
        FeatureError: the checkpoint is not where the features were made from.
    """
    config = scored.folder / "config.json"
    if "encoder" not in scored.protocol and config.exists():  # a run of train/supervised.py
        try:
            return int(json.loads(config.read_text(encoding="utf-8"))["parameters"])
        except (ValueError, KeyError, TypeError) as error:
            raise FeatureError(f"{config} is damaged ({error!r}); give --parameters {name}=COUNT") from error
    from train.embed import open_encoder

    file = Path(str(scored.protocol.get("encoder")))
    try:
        return sum(each.numel() for each in open_encoder(None, file)[0].parameters())
    except ClmrError as error:
        raise FeatureError(f"parameters of {name} are unknown ({error}); give --parameters {name}=COUNT") from error


def draw_parameters(
    systems: Mapping[str, Sequence[Scored]],
    out: Path,
    metric: str = "tag.pr_auc",
    *,
    counts: Mapping[str, int] | None = None,
    paper: bool | None = None,
) -> FigureData:
    """Draw a point for each system, and what the paper prints; returns the numbers.

    The paper prints the count of CLMR's parameters alone; the scores of the others are drawn as marks at the right.

    Args:
        systems: name -> its scores; several are runs of different seeds.
        out: where parameters.png, .svg, .json and .csv are written.
        metric: of :data:`METRICS`.
        counts: name -> parameters, where they are not to be counted in the checkpoint.
        paper: draw the paper's scores, which are of MagnaTagATune; None for where the systems' are.

    Raises:
        FeatureError: a count is unknown, or the metric was not scored.
        ConfigError: the systems were scored on different data, or a count is of none of them.
    """
    if unknown := sorted(set(counts or {}) - set(systems)):
        raise ConfigError(f"--parameters {unknown[0]}=COUNT: no --probe is called so, only {', '.join(systems)}")
    everything = [one for scored in systems.values() for one in scored]
    test = same_test(everything)
    rows: list[dict[str, Any]] = []
    for name, scored in systems.items():
        spread, count, what = spread_of([one.values(metric) for one in scored])
        millions = (counts or {}).get(name) or count_parameters(scored[0], name)
        numbers = {"mean": spread.mean, "deviation": spread.deviation, "count": count, "of": what}
        rows.append({"system": name, "parameters": millions, **numbers})
    column = PAPER_COLUMNS.get(metric)
    printed: list[dict[str, Any]] = [
        {
            "model": str(row.keys["model"]),
            "millions": row.scores.get("parameters_millions"),
            "mean": row.scores[column] / 100,
        }
        for row in paper_tables()["Figure 1"].rows
        if is_papers(everything, paper) and column in row.scores and column is not None
    ]
    note = (
        " Grey: the paper's scores of MagnaTagATune; it prints the count of CLMR's parameters alone, so the others "
        "stand at the right edge."
    )
    data = FigureData(
        title=f"{METRICS[metric]}, by parameters: {test}",
        caption=f"{protocol_line(everything)} Parameters of the encoder, without the probe's head. "
        f"{whiskers([(row['count'], row['of']) for row in rows])}{note if printed else ''}",
        rows=tuple(rows),
        facts={"metric": metric, "paper": printed},
    )
    from matplotlib.ticker import LogLocator, NullFormatter

    with picture(data, out, "parameters") as (_, (axes,)):
        axes.set_xscale("log")
        for index, row in enumerate(rows):
            point = row["parameters"] / 1e6, row["mean"]
            axes.errorbar(*point, yerr=row["deviation"] or 0.0, capsize=3, markersize=9, **look(index))
            axes.annotate(row["system"], point, (9, 6), textcoords="offset points", color=look(index)["color"])
        edge, ends = max([row["parameters"] / 1e6 for row in rows] + [2.5] * bool(printed)) * 3, []
        for each in printed:
            millions = each["millions"]
            if millions is None:
                across = axes.get_yaxis_transform()
                axes.plot((0.96, 1), (each["mean"], each["mean"]), color=GREY, linewidth=1.6, transform=across)
                ends.append((edge, each["mean"], each["model"]))
            else:
                axes.plot(millions, each["mean"], "o", color=GREY)
                beside: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": SMALL}
                axes.annotate(f"{each['model']}, paper", (millions, each["mean"]), (-7, -4), color=GREY, **beside)
        lowest = min([row["parameters"] / 1e6 for row in rows] + [2.5] * bool(printed)) / 2
        axes.set_xlim(lowest, edge)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if edge / lowest < 300 else (1,)))  # else they touch
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(y=0.15)
        axes.set(xlabel="parameters (millions)", ylabel=METRICS[metric])
        grid_lines(axes)
        label_ends(axes, ends, dict.fromkeys((name for _, _, name in ends), GREY))
    return data
