"""What the folders of a study hold: the scores of every system, seed and draw, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.figures.scores import Scored, read_scores
from train.runner.costs import Cost, costs_of
from train.runs.log import read_log
from train.spread import Spread
from train.study.plan import StudyPlan
from train.study.systems import (
    FROZEN,
    SPECTRUM,
    SUPERVISED,
    draws_of,
    home_of,
    percent_of,
    scores_folder,
    seeds_of,
    steps_of,
)

METRICS = ("tag.roc_auc", "tag.pr_auc")


@dataclass(frozen=True)
class Findings:
    """Everything that was scored."""

    plan: StudyPlan
    scored: dict[tuple[str, float], dict[int, list[Scored]]]
    """(system, per cent) -> seed -> its draws of the songs; a seed without all of its draws is left out."""
    accuracy: dict[str, list[float]]
    """Pretrained system -> share of anchors whose positive was the nearest, the mean over the logged steps of the last
    tenth of the training, by seed; one batch has too few anchors to compare. Unfinished trainings are left out."""
    costs: dict[str, list[Cost]]
    """System -> what its commands cost, those of interrupted tries too."""

    def seeds(self, system: str, percent: float, metric: str) -> dict[int, float]:
        """A score for each seed, the mean over its draws."""
        return {
            seed: float(np.mean([np.mean(one.values(metric)) for one in draws]))
            for seed, draws in self.scored.get((system, percent), {}).items()
        }

    def draws(self, system: str, percent: float, metric: str) -> list[float]:
        """A score for each draw of the songs, the mean over the seeds; none where nothing was scored."""
        found = self.scored.get((system, percent), {}).values()
        by_seed = [[float(np.mean(one.values(metric))) for one in draws] for draws in found]
        return [float(mean) for mean in np.mean(by_seed, axis=0)] if by_seed else []

    def gains(self, system: str, over: str, metric: str, percent: float = 100.0) -> list[float]:
        """Score less that of another system, for every seed that both have."""
        ours, theirs = self.seeds(system, percent, metric), self.seeds(over, percent, metric)
        if over == SPECTRUM and theirs:  # one for all: nothing of it is drawn
            theirs = dict.fromkeys(ours, theirs[0])
        return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]

    def tags(self, system: str, percent: float = 100.0) -> dict[str, float]:
        """ROC-AUC of every tag, the mean over seeds and draws."""
        found = [one.tags("roc_auc") for draws in self.scored.get((system, percent), {}).values() for one in draws]
        return {tag: float(np.mean([each[tag] for each in found])) for tag in found[0]} if found else {}


def find(plan: StudyPlan, out: Path) -> Findings:
    """Read a study, as far as it has come.

    Raises:
        FeatureError: a file of scores is damaged.
    """
    scored: dict[tuple[str, float], dict[int, list[Scored]]] = {}
    accuracy: dict[str, list[float]] = {}
    costs: dict[str, list[Cost]] = {}
    for system in (*FROZEN, SUPERVISED):
        homes = [home_of(out, system, seed) for seed in seeds_of(system, plan)]
        for percent in percent_of(system, plan):
            folders = _complete(plan, out, system, percent)
            if folders:
                scored[system, percent] = {
                    seed: [read_scores(each) for each in draws] for seed, draws in folders.items()
                }
        logs = [read_log(home / "run") for home in homes] if system in FROZEN else []
        if found := [each for log in logs if (each := _accuracy(log, steps_of(system, plan))) is not None]:
            accuracy[system] = found
        costs[system] = costs_of(homes)
    return Findings(plan, scored, accuracy, costs)


def spread(values: Iterable[float]) -> Spread | None:
    """Over seeds; None where there is none."""
    found = list(values)
    return Spread.of(found) if found else None


def scores_wanted(plan: StudyPlan) -> int:
    """How many scores a finished study has."""
    return sum(
        len(seeds_of(system, plan)) * len(draws_of(percent, plan))
        for system in (*FROZEN, SUPERVISED)
        for percent in percent_of(system, plan)
    )


def _accuracy(log: Sequence[dict[str, Any]], steps: int) -> float | None:
    """Of the last tenth of ``steps``; None before all are done."""
    if not log or log[-1]["step"] < steps:
        return None
    return float(np.mean([entry["contrastive_accuracy"] for entry in log if entry["step"] > 0.9 * steps]))


def _complete(plan: StudyPlan, out: Path, system: str, percent: float) -> dict[int, list[Path]]:
    """For every seed of which all draws are scored, their folders."""
    every = {
        seed: [scores_folder(out, system, seed, percent, draw) for draw in draws_of(percent, plan)]
        for seed in seeds_of(system, plan)
    }
    return {seed: draws for seed, draws in every.items() if all((each / "scores.json").exists() for each in draws)}
