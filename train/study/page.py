"""The study's tables as Markdown; every sentence that judges is computed from the numbers it stands beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.demo_table import chance_scores
from train.figures.scores import Scored, protocol_line, same_test
from train.paper_results import paper_tables
from train.runner.page import grid
from train.spread import Spread
from train.study.findings import METRICS, Findings, scores_wanted, spread
from train.study.plan import ALONE, StudyPlan
from train.study.ranking import rank_correlation, ranking
from train.study.systems import CHAIN, PRETRAINED, SPECTRUM, SUPERVISED, UNTRAINED, home_of

NAMES = {
    SPECTRUM: "mean and deviation of the log spectrum",
    UNTRAINED: "untrained encoder",
    "crop": "pretrained, crops only, as long as one augmentation",
    CHAIN: "pretrained, paper's chain, as long as one augmentation",
    PRETRAINED: "pretrained, paper's chain",
    SUPERVISED: "supervised SampleCNN",
}
NOTHING = "-"


def three(value: Spread | None) -> str:
    """A score with three digits, .714 +- .012."""
    if value is None:
        return NOTHING
    digits = [f"{value.mean:.3f}"] + ([] if value.deviation is None else [f"{value.deviation:.3f}"])
    return " +- ".join(each.replace("0.", ".", 1) for each in digits)


def signed(value: Spread | None) -> str:
    """A gain in points of a hundred, +1.3 +- 0.4."""
    if value is None:
        return NOTHING
    return f"{100 * value.mean:+.1f}" + ("" if value.deviation is None else f" +- {100 * value.deviation:.1f}")


def label_table(findings: Findings, chance: dict[str, float] | None) -> str:
    """Every system with every share of the labels."""
    plan = findings.plan
    lines = [["test tracks", *(f"{metric}, {each:g} %" for metric in ("ROC-AUC", "PR-AUC") for each in plan.percent)]]
    if chance is not None:
        lines.append(["random scores", *(three(Spread(chance[m], None)) for m in METRICS for _ in plan.percent)])
    for system, name in NAMES.items():
        cells = [
            three(spread(findings.seeds(system, each, metric).values())) for metric in METRICS for each in plan.percent
        ]
        lines.append([name, *cells])
    return grid(lines)


def comparison(findings: Findings, system: str, over: str, percent: float, metric: str = METRICS[0]) -> str | None:
    """One line: by how much a system beats another, seed by seed."""
    gains = findings.gains(system, over, metric, percent)
    if not gains:
        return None
    ahead = sum(gain > 0 for gain in gains)
    each = ", ".join(f"{100 * gain:+.1f}" for gain in gains)
    return (
        f"With {percent:g} % of the labels: {NAMES[system]} {signed(spread(gains))} against {NAMES[over]}, ahead in "
        f"{ahead} of {len(gains)} seeds ({each})."
    )


def comparisons(findings: Findings) -> str:
    """Pretrained against what it should beat, in points of ROC-AUC."""
    lines = [
        line
        for percent in findings.plan.percent
        for over in (UNTRAINED, SPECTRUM, SUPERVISED)
        if (line := comparison(findings, PRETRAINED, over, percent)) is not None
    ]
    return "\n".join(f"- {line}" for line in lines)


def draws_line(findings: Findings) -> str | None:
    """What the draw of the songs changes, where there is one."""
    percent = min(findings.plan.percent)
    parts = []
    for system in (UNTRAINED, PRETRAINED, SUPERVISED):
        scores = findings.draws(system, percent, METRICS[0])
        if scores:
            parts.append(f"{NAMES[system]} {', '.join(f'{each:.3f}'.replace('0.', '.', 1) for each in scores)}")
    return f"By draw of the {percent:g} % (mean over seeds): {'; '.join(parts)}." if parts else None


def ranking_table(findings: Findings) -> str:
    """Each augmentation alone, best first, with the paper's Table 2 beside it."""
    lines = [["augmentation", "PR-AUC", "gain over crops", "ahead", "ROC-AUC gain", "accuracy", "paper's gain"]]
    lines += [
        [
            row.name,
            three(row.score),
            signed(row.gain),
            f"{row.ahead} of {row.seeds}" if row.gain else NOTHING,
            signed(row.roc_gain),
            NOTHING if row.accuracy is None else f"{row.accuracy:.2f}",
            NOTHING if row.paper is None else f"{row.paper:+.1f}",
        ]
        for row in ranking(findings)
    ]
    return grid(lines)


def tag_table(findings: Findings) -> str:
    """ROC-AUC of every tag with all labels: pretrained against untrained and supervised, gains first."""
    systems = (UNTRAINED, PRETRAINED, SUPERVISED)
    scores = {system: findings.tags(system) for system in systems}
    if not scores[UNTRAINED] or not scores[PRETRAINED]:
        return ""
    gain = {tag: scores[PRETRAINED][tag] - scores[UNTRAINED][tag] for tag in scores[PRETRAINED]}
    lines = [["tag", *(NAMES[system].partition(",")[0] for system in systems), "pretrained less untrained"]]
    for tag in sorted(gain, key=lambda tag: -gain[tag]):
        cells = [three(Spread(each[tag], None)) if each else NOTHING for each in scores.values()]
        lines.append([tag, *cells, f"{100 * gain[tag]:+.1f}"])
    return grid(lines)


def cost_table(findings: Findings) -> str:
    """Processor time of everything; by the clock it depends on what else the machine did."""
    lines = [["system", "commands", "processor minutes", "minutes of one process"]]
    total = np.zeros(3)
    for system, costs in findings.costs.items():
        if costs:
            row = np.array([len(costs), sum(c.cpu_seconds for c in costs) / 60, sum(c.seconds for c in costs) / 60])
            total += row
            lines.append([NAMES.get(system, system), f"{row[0]:.0f}", f"{row[1]:.1f}", f"{row[2]:.1f}"])
    lines.append(["together", f"{total[0]:.0f}", f"{total[1]:.1f}", f"{total[2]:.1f}"])
    return grid(lines)


def chance_of(out: Path) -> dict[str, float] | None:
    """What random scores reach on the test tracks; None before anything is embedded."""
    features = home_of(out, SPECTRUM, 0) / "features"
    if not (features / "features.json").exists():
        return None
    scores = chance_scores(features)
    return {metric: scores[metric.replace(".", "_")][0] for metric in METRICS}


def selection_line(scored: Sequence[Scored]) -> str | None:
    """Which labels choose, and how few songs the smallest share has, as the probes note it."""
    notes = [labels for one in scored if isinstance(labels := one.protocol.get("labels"), dict) and "songs" in labels]
    if not notes:
        return None
    valid = next(one.protocol["tracks"]["valid"] for one in scored)
    least = min(notes, key=lambda labels: labels["songs"])
    unseen = [len(labels["tags_without_positives"]) for labels in notes if labels["songs"] == least["songs"]]
    without = f", in which {_between(unseen)} tags are on no track" if any(unseen) else ""
    return (
        f"At every share the labels of all {valid} validation tracks choose the strength of L2 and the supervised "
        f"network's epoch. {100 * least['fraction']:g} % is {least['songs']} of {least['songs_in_all']} songs{without}."
    )


def unfinished_line(plan: StudyPlan, count: int) -> str | None:
    """Said of a study that is still going on."""
    wanted = scores_wanted(plan)
    if count >= wanted:
        return None
    return f"Unfinished: {count} of {wanted} scores count so far, so that some rows have fewer seeds than others."


def _between(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def markdown(findings: Findings, out: Path) -> str:
    """The whole page."""
    everything = [one for seeds in findings.scored.values() for draws in seeds.values() for one in draws]
    if not everything:
        return "Nothing has been scored yet."
    plan = findings.plan
    share = ", ".join(f"{each:g}" for each in plan.percent)
    protocol = (
        f"{same_test(everything)}; {plan.sample_rate} Hz, width {plan.width}, {plan.batch_size} pairs, {plan.steps:,} "
        f"steps with the paper's chain and {plan.steps_alone:,} with one augmentation; {share} % of the training "
        f"songs' labels, {plan.draws} draws of the songs. {protocol_line(everything)} Mean +- sample deviation over "
        f"{plan.seeds} seeds, each the mean over the draws."
    )
    table2 = paper_tables()["Table 2"].title
    correlation = rank_correlation(findings)
    order = ""
    if correlation is not None:
        value, count = correlation
        order = f" Rank correlation with the paper's gains: {value:+.2f} (Spearman, {count} augmentations)."
    alone = (
        f"As the paper's Table 2 ({table2[:1].lower()}{table2[1:]}), points of tag-wise PR-AUC with all labels; "
        f"{len(ALONE)} rows and the whole chain for as many steps. Accuracy: share of anchors that found their "
        f"positive, mean over the last tenth of training.{order}"
    )
    by_tag, rows = tag_table(findings), ranking(findings)
    parts = [
        "# Study",
        protocol,
        selection_line(everything),
        unfinished_line(plan, len(everything)),
        "## What pretraining gains, by share of the labels",
        label_table(findings, chance_of(out)),
        *(("Points of ROC-AUC, tag-wise:", lines) if (lines := comparisons(findings)) else ()),
        draws_line(findings),
        *(("## Each augmentation alone", alone, ranking_table(findings)) if rows else ()),
        *(("## By tag, all labels, ROC-AUC", by_tag) if by_tag else ()),
        "## Cost",
        "Tries that were interrupted are counted too.",
        cost_table(findings),
    ]
    return "\n\n".join(part for part in parts if part)
