"""The demo's closing table: what was measured, against chance and against features that learn nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clmr.metrics import item_metrics, tag_metrics
from train.features import open_features
from train.spread import Spread

Systems = dict[str, dict[str, Any]]
"""Name of a system -> its test scores, one value per pretraining seed."""

METRICS = ("tag_roc_auc", "tag_pr_auc", "item_roc_auc", "item_pr_auc")
SPECTRUM = "log-spectrum statistics"
RANDOM_SCORINGS = 200

LIMITS = """
What these numbers do not show: anything about recorded music. The songs are rendered by this project, share its
instruments and are few; tempo and timbre are easier here than in life. The encoder is narrow and trains for about a
minute. Seeds vary the weights and the crops, not the corpus, so the spread says nothing about other corpora. Part
of each song's recording chain is first-order shelving, a form that the augmentations' filters resemble, which
flatters pretraining. Nothing here compares with the paper's scores."""


def scores_of(probes: Sequence[Path]) -> dict[str, Any]:
    """Test scores of one system, one value per pretraining seed (the mean over that seed's heads)."""
    results = [json.loads((folder / "scores.json").read_text(encoding="utf-8")) for folder in probes]

    def of_tag(result: dict[str, Any], tag: str) -> float:
        return float(np.mean([head["tag"]["per_tag"][tag]["roc_auc"] for head in result["test"]]))

    scores: dict[str, Any] = {
        f"{kind}_{metric}": [result["summary"][kind][metric]["mean"] for result in results]
        for kind in ("tag", "item")
        for metric in ("roc_auc", "pr_auc")
    }
    scores["per_tag"] = {
        tag: [of_tag(result, tag) for result in results] for tag in results[0]["test"][0]["tag"]["per_tag"]
    }
    return scores


def chance_scores(features: Path) -> dict[str, Any]:
    """What random scores reach on the test tracks' labels, the mean of many scorings."""
    _, labels, _ = open_features(features).of("test")
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(RANDOM_SCORINGS):
        scores = rng.random(labels.shape)
        by_tag, by_item = tag_metrics(labels, scores), item_metrics(labels, scores)
        rows.append([by_tag.roc_auc, by_tag.pr_auc, by_item.roc_auc, by_item.pr_auc])
    return {metric: [float(mean)] for metric, mean in zip(METRICS, np.mean(rows, axis=0), strict=True)}


def score_table(systems: Systems) -> str:
    """All systems, as Markdown; a spread where there is more than one seed."""
    lines = [
        "| features, test songs | tag ROC-AUC | tag PR-AUC | item ROC-AUC | item PR-AUC |",
        "|---|---|---|---|---|",
    ]
    for name, scores in systems.items():
        cells = [str(Spread.of(scores[metric])) for metric in METRICS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    seeds = len(systems["pretrained"]["tag_roc_auc"])
    return "\n".join(
        [*lines, "", f"Mean +- sample deviation over {seeds} pretraining seeds; no spread where none is drawn."]
    )


def tag_table(systems: Systems, baseline: str) -> str:
    """ROC-AUC of every tag, pretrained against the baseline, gains first, losses last."""
    before, after = systems[baseline]["per_tag"], systems["pretrained"]["per_tag"]
    change = {tag: np.mean(after[tag]) - np.mean(before[tag]) for tag in after}
    lines = [f"| tag | {baseline} | pretrained | change in ROC-AUC |", "|---|---|---|---|"]
    lines += [
        f"| {tag} | {np.mean(before[tag]):.3f} | {np.mean(after[tag]):.3f} | {change[tag]:+.3f} |"
        for tag in sorted(change, key=lambda tag: -change[tag])
    ]
    return "\n".join(lines)


def verdict(systems: Systems) -> str:
    """How often and by how much pretraining beat the untrained encoder, seed by seed, and the log-spectrum."""
    ours = systems["pretrained"]["tag_roc_auc"]
    gains = np.subtract(ours, systems["untrained"]["tag_roc_auc"]).tolist()
    over_spectrum = float(np.mean(ours) - np.mean(systems[SPECTRUM]["tag_roc_auc"]))
    relation = "ahead of" if over_spectrum > 0 else "BEHIND"
    return (
        f"Pretraining beats the untrained encoder on test ROC-AUC in {sum(gain > 0 for gain in gains)} of {len(gains)} "
        f"seeds, by {Spread.of(gains)} (each seed: {', '.join(f'{gain:+.4f}' for gain in gains)}).\n"
        f"It is {relation} the {SPECTRUM}, which learn nothing, by {abs(over_spectrum):.4f}."
    )


def closing_text(systems: Systems) -> str:
    """The whole report, as Markdown."""
    parts = [score_table(systems), verdict(systems), tag_table(systems, "untrained"), LIMITS]
    return "\n\n".join(part.strip() for part in parts)
