"""The study's pictures: gain of each augmentation, and score by share of the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from train.figures.labels import draw_labels
from train.figures.scores import Scored
from train.figures.style import COLOURS, GREY, FigureData, grid_lines, picture
from train.study.findings import Findings
from train.study.ranking import ranking
from train.study.systems import PRETRAINED, SPECTRUM, SUPERVISED, UNTRAINED

METRIC = "tag.roc_auc"
"""Of the curves."""
CURVES = {PRETRAINED: "pretrained", SUPERVISED: "supervised", UNTRAINED: "untrained", SPECTRUM: "log spectrum"}


def draw(findings: Findings, out: Path) -> list[Path]:
    """Write ranking.png and labels.png with their numbers, as far as there are scores; returns the pictures."""
    drawn = []
    if any(row.gain for row in ranking(findings)):
        draw_ranking(findings, out)
        drawn.append(out / "ranking.png")
    curves = {
        name: [one for percent in findings.plan.percent for one in _every(findings, system, percent)]
        for system, name in CURVES.items()
    }
    curves = {name: scored for name, scored in curves.items() if scored}
    if curves:
        draw_labels(curves, out, METRIC, paper=False)
        drawn.append(out / "labels.png")
    return drawn


def draw_ranking(findings: Findings, out: Path) -> FigureData:
    """A line for each augmentation: every seed's gain over crops alone, their mean, and the paper's."""
    rows = [row for row in reversed(ranking(findings)) if row.gain is not None]
    numbers: list[dict[str, Any]] = [
        {"augmentation": row.name, "seed": seed, "gain": gain, "paper": row.paper}
        for row in rows
        for seed, gain in enumerate(row.gains)
    ]
    plan = findings.plan
    data = FigureData(
        title="What one augmentation gains over crops alone",
        caption=f"Study corpus, {plan.steps_alone:,} steps, width {plan.width}, linear probe, all labels. Small dots: "
        f"{plan.seeds} seeds; upright: their mean. Grey diamonds: the paper's Table 2 on MagnaTagATune. The chain is "
        "the paper's, on both views.",
        rows=tuple(numbers),
    )
    with picture(data, out, "ranking", height=4.2) as (_, (axes,)):
        axes.axvline(0, color=GREY, linewidth=0.8)
        for place, row in enumerate(rows):
            points = [100 * gain for gain in row.gains]
            axes.plot(points, [place] * len(points), "o", color=COLOURS[0], markersize=5, alpha=0.6)
            mean = sum(points) / len(points)
            axes.plot([mean, mean], [place - 0.28, place + 0.28], color=COLOURS[0], linewidth=2)
            if row.paper is not None:
                axes.plot(row.paper, place, "D", color=GREY, markersize=5, fillstyle="none")
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.set_xlabel("points of tag-wise PR-AUC")
        grid_lines(axes, "x")
    return data


def _every(findings: Findings, system: str, percent: float) -> list[Scored]:
    """One for each seed, with the mean over its draws, so that the whiskers are the tables' deviations."""
    means = findings.seeds(system, percent, METRIC)
    return [
        replace(draws[0], test=({"tag": {"roc_auc": means[seed]}},))
        for seed, draws in findings.scored.get((system, percent), {}).items()
    ]
