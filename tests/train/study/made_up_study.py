"""A study's folder with scores that were made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.train.figures.made_up import write_scores
from train.study.plan import ALONE, SIZES
from train.study.systems import (
    CHAIN,
    FROZEN,
    PRETRAINED,
    SPECTRUM,
    SUPERVISED,
    UNTRAINED,
    draws_of,
    percent_of,
    scores_folder,
    seeds_of,
)

PLAN = replace(SIZES["tiny"], percent=(10.0, 100.0), supervised_percent=(10.0, 100.0), seeds=2, draws=2)
LEVEL = {SPECTRUM: 0.60, UNTRAINED: 0.55, CHAIN: 0.64, PRETRAINED: 0.70, SUPERVISED: 0.75}
GAIN = {name: 0.01 * place for place, name in enumerate(ALONE)}
"""Of PR-AUC over crops alone, which are the first."""


def write_study(out: Path) -> Path:
    """Scores of every system: a seed is worth .02, a draw of few songs .01, all labels .1 of ROC-AUC."""
    for system in (*FROZEN, SUPERVISED):
        for percent in percent_of(system, PLAN):
            for seed in seeds_of(system, PLAN):
                for draw in draws_of(percent, PLAN):
                    level = LEVEL.get(system, 0.6) + GAIN.get(system, 0.0)
                    roc_auc = level + 0.02 * seed + 0.01 * draw + (0.1 if percent == 100 else 0.0)
                    folder = scores_folder(out, system, seed, percent, draw)
                    label = {"labels": {"fraction": percent / 100}}
                    write_scores(folder, [(roc_auc, roc_auc - 0.2)], tags={"loud": level, "fast": 0.5}, **label)
    return out
