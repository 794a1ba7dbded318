"""Score against epochs of pretraining: probes while a run trains, and probes of finished runs (paper Table 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clmr.errors import ConfigError, FeatureError
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
from train.figures.style import GREY, FigureData, grid_lines, label_ends, look, picture
from train.paper_results import paper_tables
from train.runs.log import read_probes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN_METRICS = {"tag.roc_auc": "roc_auc", "tag.pr_auc": "pr_auc", "accuracy": "accuracy"}
"""What probe.jsonl calls a metric; it has none by track."""


def run_curves(name: str, run: Path, metric: str) -> dict[str, list[dict[str, Any]]]:
    """The curves of a run, one for each folder of shards that was probed: name -> rows by epoch.

    Raises:
        FeatureError: the run was not probed while it trained, or not by this metric.
    """
    key = RUN_METRICS.get(metric)
    entries = read_probes(run)
    if not entries or key is None or any(key not in entry for entry in entries):
        raise FeatureError(
            f"{run}/probe.jsonl holds no {metric}; pretrain with --probe-every, or give scores as --probe EPOCHS=DIR"
        )
    shards = list(dict.fromkeys(entry["shards"] for entry in entries))
    return {
        (name if len(shards) == 1 else f"{name}, {each}"): [
            {
                "epochs": float(entry["epoch"]),
                "split": "valid",
                "tracks": entry["valid_tracks"],
                "mean": float(entry[key]),
                "deviation": None,
                "count": 1,
                "of": "heads",
            }
            for entry in entries
            if entry["shards"] == each
        ]
        for each in shards
    }


def scored_curve(scored: Mapping[float, Sequence[Scored]], metric: str) -> list[dict[str, Any]]:
    """The curve of finished runs: rows by epochs."""
    rows = []
    for epochs, of_it in sorted(scored.items()):
        spread, count, what = spread_of([one.values(metric) for one in of_it])
        numbers = {"mean": spread.mean, "deviation": spread.deviation, "count": count, "of": what}
        tracks = of_it[0].protocol.get("tracks")
        known = tracks.get("test") if isinstance(tracks, dict) else None
        rows.append({"epochs": epochs, "split": "test", "tracks": known, **numbers})
    return rows


def draw_epochs(
    runs: Mapping[str, Path],
    scored: Mapping[float, Sequence[Scored]],
    out: Path,
    metric: str = "tag.pr_auc",
    *,
    paper: bool | None = None,
) -> FigureData:
    """Draw the curves; returns the numbers.

    Args:
        runs: name -> run folder with probe.jsonl.
        scored: epochs -> scores of runs of that length; several are of different seeds.
        out: where epochs.png, .svg, .json and .csv are written.
        metric: of :data:`METRICS`.
        paper: draw the paper's Table 5 beside them; None for where the scores are of MagnaTagATune.

    Raises:
        ConfigError: there is nothing to draw, or the scores are of different data.
        FeatureError: a run was not probed.
    """
    if not runs and not scored:
        raise ConfigError("give --run NAME=DIR, --probe EPOCHS=DIR or both")
    everything = [one for each in scored.values() for one in each]
    curves: dict[str, list[dict[str, Any]]] = {}
    for name, run in runs.items():
        curves |= run_curves(name, run, metric)
    tracks = {row["tracks"] for rows in curves.values() for row in rows}
    whose = [f"While training: {'/'.join(map(str, sorted(tracks)))} valid tracks, fast linear probe."] if runs else []
    title = f"{METRICS[metric]}, by epochs of pretraining"
    if scored:
        curves["finished runs"] = scored_curve(scored, metric)
        kinds = [(row["count"], row["of"]) for row in curves["finished runs"]]
        title += f": {same_test(everything)}"
        whose.append(f"Finished runs, test tracks: {protocol_line(everything)} {whiskers(kinds)}")
    printed = []
    if metric in PAPER_COLUMNS and (bool(paper) if not everything else is_papers(everything, paper)):
        column = PAPER_COLUMNS[metric]
        table = paper_tables()["Table 5"]
        printed = sorted((float(row.keys["epochs"]), row.scores[column] / 100) for row in table.rows)
    data = FigureData(
        title=title,
        caption=" ".join(whose) + (" Grey, dotted: Table 5 of the paper, MagnaTagATune." if printed else ""),
        rows=tuple({"curve": name, **row} for name, rows in curves.items() for row in rows),
        facts={"metric": metric, "paper": [{"epochs": epochs, "mean": mean} for epochs, mean in printed]},
    )
    with picture(data, out, "epochs") as (_, (axes,)):
        colours, ends = {}, []
        for index, (name, rows) in enumerate(curves.items()):
            epochs, means = [row["epochs"] for row in rows], [row["mean"] for row in rows]
            deviations = [row["deviation"] or 0.0 for row in rows]
            axes.errorbar(epochs, means, yerr=deviations, capsize=3, markersize=5, linewidth=1.6, **look(index))
            colours[name] = look(index)["color"]
            ends.append((epochs[-1], means[-1], name))
        if printed:
            axes.plot(*zip(*printed, strict=True), "o:", color=GREY, markersize=4)
            colours["CLMR, paper"] = GREY
            ends.append((*printed[-1], "CLMR, paper"))
        _scale(axes, [row["epochs"] for row in data.rows] + [epochs for epochs, _ in printed])
        axes.set(xlabel="epochs of pretraining", ylabel=METRICS[metric])
        grid_lines(axes)
        label_ends(axes, ends, colours)
    return data


def _scale(axes: Axes, epochs: list[float]) -> None:
    """Logarithmic where the epochs span more than a decade and a half; 0, the initial weights, has its place."""
    positive = [each for each in epochs if each > 0]
    if positive and max(positive) / min(positive) > 30:
        axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_xlim(left=-0.15 * min(positive) if min(epochs) == 0 else 0.8 * min(positive))
        axes.xaxis.set_major_formatter("{x:g}")
