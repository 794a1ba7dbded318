"""The curves of a run: how it learned, where its projections lie, what the probe said, how fast it went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sharding.page.markup import Markup, element, join, name
from train.page.chart import Curve, line_chart, number_words
from train.page.parts import missing, section
from train.page.run import Run


@dataclass(frozen=True)
class Panel:
    """One chart of numbers that the log may have."""

    title: str
    columns: tuple[str, ...]
    """Names in log.jsonl; a chart has a curve for each that is there."""
    reading: str
    """How to read it, in a sentence."""


PANELS = (
    Panel("Loss", ("loss",), "In nats; of batches of one size only can two runs be compared."),
    Panel("Accuracy", ("contrastive_accuracy",), "Share of anchors whose positive is ranked first."),
    Panel(
        "Validation", ("validation_roc_auc", "validation_pr_auc"), "Scores on the validation tracks, epoch by epoch."
    ),
    Panel("Alignment", ("alignment",), "Squared distance of two views: 0 where they coincide, 2 where unrelated."),
    Panel("Uniformity", ("uniformity",), "0 where all projections coincide, \N{MINUS SIGN}4 where spread evenly."),
    Panel("Pace", ("pairs_per_second", "windows_per_second"), "Crop pairs, sequences or windows a second, all ranks."),
    Panel("Waiting", ("wait_share",), "Share of the time without a batch; above 0.05 the loader is the limit."),
)
SHORT = {
    "validation_roc_auc": "ROC-AUC",
    "validation_pr_auc": "PR-AUC",
    "pairs_per_second": "pairs/s",
    "windows_per_second": "windows/s",
}


def points_of(log: list[dict[str, Any]], column: str) -> list[tuple[float, float]]:
    """Step and value of the lines that have the number."""
    return [(float(entry["step"]), float(entry[column])) for entry in log if is_number(entry.get(column))]


def is_number(value: object) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def curves_section(run: Run) -> Markup:
    """All charts there are numbers for, and the probe's."""
    charts = [_panel(panel, run.log) for panel in PANELS]
    charts.insert(3, _probe(run))
    shown = [chart for chart in charts if chart is not None]
    lines = [] if run.log else [missing("No step is in log.jsonl yet: there are no curves")]
    if run.kind == "pretrain" and not run.probes:
        what = "Not probed while it trained; add to the command that began the run, which may go on with it"
        lines.append(missing(what, "--probe-every", "10"))
    return section("Curves", element("div", *shown, class_="columns") if shown else None, *lines)


def _panel(panel: Panel, log: list[dict[str, Any]]) -> Markup | None:
    found = {SHORT.get(column, column): points_of(log, column) for column in panel.columns}
    return _chart(panel.title, {key: Curve(points) for key, points in found.items() if points}, panel.reading)


def _probe(run: Run) -> Markup | None:
    found = {shards: points_of(entries, "roc_auc") for shards, entries in run.probes.items()}
    curves = {shards: Curve(points, dotted=points[0][1]) for shards, points in found.items() if points}
    valid = ", ".join(str(entries[-1].get("valid_tracks", "?")) for entries in run.probes.values())
    reading = (
        f"Tag-wise ROC-AUC of a linear probe on {valid} validation tracks while the run trained; dotted: where it "
        "began. No result to report, see Scores."
    )
    return _chart("Probe", curves, reading)


def _chart(title: str, curves: dict[str, Curve], reading: str) -> Markup | None:
    last = {key: curve.points[-1][1] for key, curve in curves.items()}
    ends = ", ".join(
        f"{key} {value(curve.points[0][1])} to {value(last[key])}"
        if len(curves) > 1
        # One curve needs no name beside its title.
        else f"{value(curve.points[0][1])} to {value(last[key])}"
        for key, curve in curves.items()
    )
    chart = line_chart(curves, f"{title} over the steps: {ends}")
    if chart is None:
        return None
    items = (
        element("li", element("i", class_=f"swatch of-{number % 4}"), name(key)) for number, key in enumerate(curves)
    )
    return element(
        "figure",
        element("h3", title, element("small", join(" ", name(ends)))),
        element("ul", *items, class_="legend") if len(curves) > 1 else None,
        chart,
        element("figcaption", reading),
    )


def value(number: float) -> str:
    """A number of the log in four digits: 4.140, 6.100e-05, 12,345."""
    if abs(number) >= 1000:
        return number_words(number)
    return f"{number:#.4g}".removesuffix(".").replace("-", "\N{MINUS SIGN}")
