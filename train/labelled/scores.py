"""Scores of a supervised network: probabilities of its windows averaged over each track, then clmr.metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clmr.augment import from_int16
from clmr.collectives import sum_over_ranks
from clmr.metrics import RankingScores, item_metrics, tag_metrics
from loaders import WindowLoader
from train.labelled.model import SupervisedSampleCNN, probabilities
from train.probing.scores import as_numbers

AGGREGATION = {
    "tags": "mean over a track's windows of the sigmoid",
    "classes": "mean over a track's windows of the softmax",
}


@dataclass(frozen=True)
class Scores:
    """What early stopping looks at."""

    roc_auc: float
    """Tag-wise, of the validation tracks."""
    pr_auc: float
    """Tag-wise, of the validation tracks."""

    @property
    def mean(self) -> float:
        """Of both, as for the linear probe; higher is better."""
        return (self.roc_auc + self.pr_auc) / 2


@torch.inference_mode()
def predict(model: SupervisedSampleCNN, loader: WindowLoader, task: str, dtype: torch.dtype) -> npt.NDArray[np.float64]:
    """Mean probability of every label over every track's windows, ``[tracks, C]``, on every rank."""
    model.eval()
    device = next(model.parameters()).device
    total = torch.zeros(len(loader.tracks), len(loader.label_names), dtype=torch.float64, device=device)
    for batch in loader:
        rows = torch.from_numpy(np.searchsorted(loader.tracks.row, batch.track.numpy())).to(device)
        total.index_add_(0, rows, probabilities(model(from_int16(batch.pcm).to(dtype)), task))
    summed: Tensor = sum_over_ranks(total.cpu())
    mean: npt.NDArray[np.float64] = summed.numpy() / loader.windows_per_track[:, None]
    return mean


def validation_scores(labels: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]) -> Scores:
    """Tag-wise scores.

    Raises:
        FeatureError: a probability is NaN.
    """
    scores = tag_metrics(labels, probability)
    return Scores(scores.roc_auc, scores.pr_auc)


def each_tag(labels: npt.NDArray[np.bool_], names: tuple[str, ...], scores: RankingScores) -> dict[str, Any]:
    """Positives and scores of every tag that has tracks with and without it."""
    each = zip(names, labels.sum(axis=0).tolist(), scores.each_roc_auc, scores.each_pr_auc, strict=True)
    return {
        name: {"positives": positives, "roc_auc": float(roc_auc), "pr_auc": float(pr_auc)}
        for name, positives, roc_auc, pr_auc in each
        if not np.isnan(roc_auc)
    }


def score_tracks(
    labels: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64], names: tuple[str, ...], task: str
) -> dict[str, Any]:
    """Everything that is reported of the test tracks."""
    by_tag, by_item = tag_metrics(labels, probability), item_metrics(labels, probability)
    scores: dict[str, Any] = {
        "tag": {**as_numbers(by_tag), "per_tag": each_tag(labels, names, by_tag)},
        "item": as_numbers(by_item) if by_item.counted else None,
    }
    if task == "classes":
        scores["accuracy"] = float((probability.argmax(axis=1) == labels.argmax(axis=1)).mean())
    return scores


def describe(result: dict[str, Any]) -> str:
    """The result in a few lines, in the words of train/probe.py: protocol first, then the numbers."""
    protocol, test = result["protocol"], result["test"]
    tracks, windows = protocol["tracks"], protocol["windows"]

    def line(kind: str, what: str) -> str:
        scores = test[kind]
        if scores is None:
            return f"{kind}-wise".ljust(10) + f"no {what} that can be ranked"
        skipped = scores["skipped_without_positives"] + scores["skipped_without_negatives"]
        return (
            f"{kind}-wise".ljust(10) + f"ROC-AUC {scores['roc_auc']:.4f}  PR-AUC {scores['pr_auc']:.4f}  "
            f"({scores['counted']} {what}, {skipped} skipped)"
        )

    share = "" if protocol["label_fraction"] == 1 else f" ({protocol['label_fraction']:.4g} of the songs)"
    by = f"epoch {protocol['best_epoch']} of {protocol['epochs']} by the validation split, seed {protocol['seed']}"
    count = f"{tracks['valid']} valid, {tracks['test']} test"
    lines = [
        f"data      {protocol['dataset']}: {tracks['train']} train{share}, {count}",
        f"network   supervised SampleCNN, width {protocol['width']}, {by}",
        f"protocol  test split, {windows['test']} windows, {protocol['aggregation']}",
        line("tag", "tags"),
        line("item", "tracks"),
    ]
    if "accuracy" in test:
        lines.append(f"accuracy  {test['accuracy']:.4f}")
    return "\n".join(lines)
