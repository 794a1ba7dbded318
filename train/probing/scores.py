"""The test split, once: what each head scores on it, and the mean and spread over heads."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clmr.errors import FeatureError
from clmr.metrics import RankingScores, accuracy, item_metrics, tag_metrics
from sharding.publish import publish
from train.probing.fitting import FittedHead
from train.probing.head import track_probabilities
from train.probing.settings import ProbeSettings
from train.probing.splits import ProbeData, Split
from train.spread import Spread

METRICS = (("tag", "roc_auc"), ("tag", "pr_auc"), ("item", "roc_auc"), ("item", "pr_auc"))


def as_numbers(scores: RankingScores) -> dict[str, Any]:
    """Means and counts, for JSON; a mean of nothing is None."""
    return {
        "roc_auc": scores.roc_auc if scores.counted else None,
        "pr_auc": scores.pr_auc if scores.counted else None,
        "counted": scores.counted,
        "skipped_without_positives": scores.without_positives,
        "skipped_without_negatives": scores.without_negatives,
    }


def predict(fitted: FittedHead, split: Split, settings: ProbeSettings, task: str) -> npt.NDArray[np.float64]:
    """Probability of every label for every track, ``[tracks, C]``."""
    mean_logit = settings.aggregation == "logit"
    return track_probabilities(fitted.head, split.features, split.owner, task=task, of_mean_logit=mean_logit)


def score_head(fitted: FittedHead, probability: npt.NDArray[np.float64], data: ProbeData) -> dict[str, Any]:
    """Scores of one head on the test tracks.

    Raises:
        FeatureError: no tag can be ranked, or a probability is NaN.
    """
    labels = data.test.labels
    by_tag, by_item = tag_metrics(labels, probability), item_metrics(labels, probability)
    if not by_tag.counted:
        raise FeatureError("no tag has both kinds of tracks in the test split: there is nothing to score")
    each = zip(data.vocabulary, labels.sum(axis=0).tolist(), by_tag.each_roc_auc, by_tag.each_pr_auc, strict=True)
    scores: dict[str, Any] = {
        "seed": fitted.seed,
        **fitted.chosen,
        "validation_score": fitted.validation_score,
        "tag": {
            **as_numbers(by_tag),
            "per_tag": {
                tag: {"positives": positives, "roc_auc": float(roc_auc), "pr_auc": float(pr_auc)}
                for tag, positives, roc_auc, pr_auc in each
                if not np.isnan(roc_auc)
            },
        },
        "item": as_numbers(by_item),
    }
    if data.task == "classes":
        scores["accuracy"] = accuracy(labels, probability)
    return scores


def summarise(test: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample deviation over the heads of every metric; None where a metric is not defined."""
    summary: dict[str, Any] = {"tag": {}, "item": {}}
    for kind, metric in METRICS:
        values = [scores[kind][metric] for scores in test]
        summary[kind][metric] = None if None in values else asdict(Spread.of(values))
    if "accuracy" in test[0]:
        summary["accuracy"] = asdict(Spread.of([scores["accuracy"] for scores in test]))
    return summary


def write_tags(test: list[dict[str, Any]], path: Path) -> None:
    """One line per scored tag: positives, then mean and deviation over seeds."""
    with publish(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["tag", "positives", "roc_auc", "roc_auc_deviation", "pr_auc", "pr_auc_deviation"])
        for tag, first in test[0]["tag"]["per_tag"].items():
            row: list[Any] = [tag, first["positives"]]
            for metric in ("roc_auc", "pr_auc"):
                spread = Spread.of([scores["tag"]["per_tag"][tag][metric] for scores in test])
                row += [f"{spread.mean:.6f}", "" if spread.deviation is None else f"{spread.deviation:.6f}"]
            writer.writerow(row)


def write_predictions(each: list[npt.NDArray[np.float64]], data: ProbeData, path: Path) -> None:
    """The test tracks' probabilities, for figures: see docs/probing.md for the arrays."""
    with publish(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            keys=data.test.keys,
            tags=np.array(data.vocabulary),
            labels=data.test.labels,
            probabilities=each[0],
            every_seed=np.stack(each),
        )
