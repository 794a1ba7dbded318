"""From the train and valid splits to a head: nothing here is given the test split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from clmr.errors import FeatureError
from clmr.metrics import tag_metrics
from train.probing.head import fit_head, head_loss, track_probabilities
from train.probing.linear_fit import fit_path
from train.probing.settings import ProbeSettings
from train.probing.splits import Split

WORSE = 2  # weaker penalties tried after the best one; the score rises and falls once along the path


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A head, and how the validation split chose it."""

    head: nn.Module
    seed: int
    chosen: dict[str, Any]
    """``best_epoch`` and ``steps`` of Adam until then, or ``penalty`` and the scores of all that were tried."""
    validation_score: float
    """See :func:`validation_score`, of all windows of the validation tracks."""


def validation_score(head: nn.Module, split: Split, settings: ProbeSettings, task: str) -> float:
    """The mean of tag-wise ROC-AUC and PR-AUC over the tracks; higher is better.

    Raises:
        FeatureError: no tag has tracks with and without it, or the head's outputs are NaN.
    """
    mean_logit = settings.aggregation == "logit"
    scores = tag_metrics(
        split.labels, track_probabilities(head, split.features, split.owner, task=task, of_mean_logit=mean_logit)
    )
    if not scores.counted:
        raise FeatureError("no tag has both kinds of tracks in the validation split: it has nothing to choose by")
    return (scores.roc_auc + scores.pr_auc) / 2


def fit_by_steps(train: Split, valid: Split, settings: ProbeSettings, task: str, seed: int) -> FittedHead:
    """A head trained by Adam, stopped by the validation split."""
    trained_on, stopped_by = (split.one_window(seed) if settings.one_window else split for split in (train, valid))
    stop_labels = stopped_by.window_labels

    def stop_score(head: nn.Module) -> float:
        if settings.stop_by == "score":
            return validation_score(head, stopped_by, settings, task)
        with torch.inference_mode():
            return -float(head_loss(head(stopped_by.features), stop_labels, task))

    head, epoch, _ = fit_head(trained_on.features, trained_on.window_labels, stop_score, settings.head, seed, task=task)
    chosen = {"best_epoch": epoch, "steps": epoch * -(-len(trained_on.features) // settings.head.batch_size)}
    return FittedHead(head, seed, chosen, validation_score(head, valid, settings, task))


def hardly_trained(fitted: list[FittedHead], settings: ProbeSettings, width: int) -> str | None:
    """A warning where the weights of a head are still mostly those it was drawn with.

    A step of Adam moves a weight by about the learning rate at most, and torch draws weights up to width^-1/2. A small
    share of the labels has few steps an epoch, so that patience, which counts epochs, may end it before it begins.
    """
    steps = min(each.chosen.get("steps", math.inf) for each in fitted)
    if steps * settings.head.learning_rate >= width**-0.5:
        return None
    needed = math.ceil(width**-0.5 / settings.head.learning_rate)
    return (
        f"warning: a head was chosen after {steps} steps of Adam, and it takes {needed:,} to move a weight as far as "
        "it was drawn from 0: the scores are hardly of the features. There are few training windows to an epoch; give "
        "--preset fast, or a smaller --batch-size and a longer --patience"
    )


def fit_at_once(train: Split, valid: Split, settings: ProbeSettings, task: str) -> FittedHead:
    """The linear head at the L2 strength whose validation score is best, the strongest of equals."""
    path = fit_path(train.features, train.window_labels, settings.penalties, task=task)
    tried: list[tuple[float, float]] = []
    heads: list[nn.Module] = []
    best = 0
    for penalty, head in zip(settings.penalties, path, strict=True):
        tried.append((penalty, validation_score(head, valid, settings, task)))
        heads.append(head)
        if tried[-1][1] > tried[best][1]:
            best = len(tried) - 1
        if len(tried) > best + WORSE:
            break
    penalty, score = tried[best]
    return FittedHead(heads[best], 0, {"best_epoch": None, "penalty": penalty, "penalties_tried": tried}, score)


def fit_heads(train: Split, valid: Split, settings: ProbeSettings, task: str, seeds: list[int]) -> list[FittedHead]:
    """A head for each seed; one in all where the fit draws nothing."""
    if settings.draws:
        return [fit_by_steps(train, valid, settings, task, seed) for seed in seeds]
    return [fit_at_once(train, valid, settings, task)]
