"""Each augmentation alone, ranked by what it gains over crops alone, beside the paper's Table 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.paper_results import paper_tables
from train.spread import Spread
from train.study.findings import Findings, spread
from train.study.plan import ALONE
from train.study.systems import CHAIN

BASE = "crop"
METRIC, ROC = "tag.pr_auc", "tag.roc_auc"
COLUMN = "tag_pr_auc"
"""The paper's column of the same measure."""


@dataclass(frozen=True)
class Ranked:
    """One augmentation."""

    name: str
    """As the chain calls it; ``chain`` is all of them."""
    score: Spread | None
    """PR-AUC, tag-wise, with all labels."""
    gain: Spread | None
    """Over crops alone, seed by seed; None for crops themselves."""
    gains: tuple[float, ...]
    """Of each seed."""
    roc_gain: Spread | None
    """The same of ROC-AUC."""
    accuracy: float | None
    """Share of anchors that found their positive at the end of training."""
    paper: float | None
    """Points of PR-AUC that the paper's Table 2 gains."""

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.gains)

    @property
    def ahead(self) -> int:
        """How many gain."""
        return sum(gain > 0 for gain in self.gains)


def paper_gain(name: str) -> float | None:
    """What the paper's Table 2 gains with this augmentation, in points; None for what is no row of it."""
    table = paper_tables()["Table 2"]
    found = [table.score(COLUMN, transform=each.capitalize()) for each in (name, BASE) if name in ALONE]
    return None if len(found) < 2 or found[0] is None or found[1] is None else found[0] - found[1]


def ranking(findings: Findings) -> list[Ranked]:
    """The rows that have scores, the largest gain first."""
    rows = []
    for name in (*ALONE, CHAIN):
        scores = findings.seeds(name, 100.0, METRIC).values()
        if not scores:
            continue
        gains = [] if name == BASE else findings.gains(name, BASE, METRIC)
        roc = [] if name == BASE else findings.gains(name, BASE, ROC)
        accuracy = findings.accuracy.get(name)
        rows.append(
            Ranked(
                name,
                spread(scores),
                spread(gains),
                tuple(gains),
                spread(roc),
                float(np.mean(accuracy)) if accuracy else None,
                None if name == BASE else paper_gain(name),
            )
        )
    return sorted(rows, key=lambda row: -(row.gain.mean if row.gain else 0.0))


def rank_correlation(findings: Findings) -> tuple[float, int] | None:
    """Spearman's, of our gains with the paper's, over the augmentations that both have; ties share their ranks.

    Returns:
        The correlation, -1 to 1, and of how many augmentations; None of fewer than three, or where all gains are one.
    """
    rows = [row for row in ranking(findings) if row.gain is not None and row.paper is not None]
    if len(rows) < 3:
        return None
    ours = _ranks([row.gain.mean for row in rows if row.gain is not None])
    paper = _ranks([row.paper for row in rows if row.paper is not None])
    if len(set(ours)) == 1:
        return None
    return float(np.corrcoef(ours, paper)[0, 1]), len(rows)


def _ranks(values: list[float]) -> list[float]:
    # The mean of the places that equal values take; the paper's gains have one decimal.
    rounded = [round(value, 6) for value in values]
    return [
        float(np.mean([place for place, other in enumerate(sorted(rounded)) if other == value])) for value in rounded
    ]
