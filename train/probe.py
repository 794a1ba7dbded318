"""Linear probe on frozen features: how linearly separable the tags are (paper section 2.6).

    python train/probe.py --features runs/mtat/features --out runs/mtat/probe

Writes scores.json (protocol, test scores of every seed, mean and spread) and tags.csv (the scores of every tag).
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clmr.errors import FeatureError, one_line_errors
from clmr.metrics import RankingScores, item_metrics, tag_metrics
from sharding.publish import publish
from train.features import Features, open_features
from train.head import HeadSettings, Standardiser, fit_head, track_probabilities
from train.spread import Spread


@dataclass(frozen=True, eq=False)
class Split:
    """One split, ready for the head."""

    features: Tensor
    """Standardised window features ``[W, D]``."""
    labels: npt.NDArray[np.bool_]
    """``[tracks, C]``"""
    owner: npt.NDArray[np.int64]
    """The track of each window, ``[W]``."""


def load_splits(features: Features) -> dict[str, Split]:
    """The three splits, standardised by the training windows' mean and deviation."""
    if not features.vocabulary:
        raise FeatureError("the features carry no labels to probe; shard the recordings with a labels.csv")
    raw = {split: features.of(split) for split in ("train", "valid", "test")}
    for split, (matrix, _, _) in raw.items():
        if not np.isfinite(matrix).all():
            raise FeatureError(f"the features of split {split!r} are not all finite; did the pretraining diverge?")
    standardise = Standardiser.of(torch.from_numpy(np.array(raw["train"][0])))
    return {
        split: Split(standardise(torch.from_numpy(np.array(matrix))), labels, owner)
        for split, (matrix, labels, owner) in raw.items()
    }


def validation_score(head: nn.Module, split: Split) -> float:
    """What early stopping looks at: the mean of tag-wise ROC-AUC and PR-AUC over the validation tracks."""
    scores = tag_metrics(split.labels, track_probabilities(head, split.features, split.owner))
    if not scores.counted:
        raise FeatureError("no tag has both kinds of tracks in the validation split: early stopping has nothing to see")
    return (scores.roc_auc + scores.pr_auc) / 2


def as_numbers(scores: RankingScores) -> dict[str, Any]:
    """Means and counts, for JSON."""
    return {
        "roc_auc": scores.roc_auc,
        "pr_auc": scores.pr_auc,
        "counted": scores.counted,
        "skipped_without_positives": scores.without_positives,
        "skipped_without_negatives": scores.without_negatives,
    }


def probe(splits: dict[str, Split], vocabulary: tuple[str, ...], settings: HeadSettings, seed: int) -> dict[str, Any]:
    """Train one head and score it on the test tracks."""
    train, valid, test = splits["train"], splits["valid"], splits["test"]
    window_labels = torch.from_numpy(train.labels[train.owner]).float()
    head, epoch, best = fit_head(
        train.features, window_labels, lambda head: validation_score(head, valid), settings, seed
    )
    probabilities = track_probabilities(head, test.features, test.owner)
    by_tag, by_item = tag_metrics(test.labels, probabilities), item_metrics(test.labels, probabilities)
    if not by_tag.counted or not by_item.counted:
        raise FeatureError("no tag has both kinds of tracks in the test split: there is nothing to score")
    each = {
        tag: {"positives": int(test.labels[:, column].sum()), "roc_auc": roc_auc, "pr_auc": pr_auc}
        for column, (tag, roc_auc, pr_auc) in enumerate(
            zip(vocabulary, by_tag.each_roc_auc.tolist(), by_tag.each_pr_auc.tolist(), strict=True)
        )
        if not np.isnan(roc_auc)
    }
    return {
        "seed": seed,
        "best_epoch": epoch,
        "validation_score": best,
        "tag": {**as_numbers(by_tag), "per_tag": each},
        "item": as_numbers(by_item),
    }


METRICS = (("tag", "roc_auc"), ("tag", "pr_auc"), ("item", "roc_auc"), ("item", "pr_auc"))


def summarise(test: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and sample deviation over the seeds of every metric."""
    summary: dict[str, dict[str, Any]] = {"tag": {}, "item": {}}
    for kind, metric in METRICS:
        summary[kind][metric] = asdict(Spread.of([scores[kind][metric] for scores in test]))
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


def describe(result: dict[str, Any]) -> str:
    """The result in a few lines: protocol first, then the numbers."""
    protocol, test, summary = result["protocol"], result["test"], result["summary"]
    tag, item = test[0]["tag"], test[0]["item"]
    tracks = protocol["tracks"]
    skipped_tags = tag["skipped_without_positives"] + tag["skipped_without_negatives"]
    skipped_items = item["skipped_without_positives"] + item["skipped_without_negatives"]

    def line(kind: str, what: str, skipped: int) -> str:
        scores = f"ROC-AUC {Spread(**summary[kind]['roc_auc'])}  PR-AUC {Spread(**summary[kind]['pr_auc'])}"
        return f"{kind}-wise".ljust(10) + f"{scores}  ({test[0][kind]['counted']} {what}, {skipped} skipped)"

    seeds = ", ".join(map(str, protocol["seeds"]))
    return "\n".join(
        [
            f"data      {protocol['dataset']}: {tracks['train']} train, {tracks['valid']} valid, {tracks['test']} test",
            f"features  {protocol['encoder']}",
            f"head      linear on standardised features, mean probability over a track's windows, seeds {seeds}",
            line("tag", "tags", skipped_tags),
            line("item", "tracks", skipped_items),
        ]
    )


@click.command(context_settings={"show_default": True})
@click.option("--features", required=True, type=click.Path(path_type=Path), help="Feature folder of train/embed.py.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the scores.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, help="Heads trained, each with a seed of its own.")
@click.option("--first-seed", default=0, help="Seed of the first head.")
@click.option("--learning-rate", default=HeadSettings.learning_rate, help="Of Adam.")
@click.option("--weight-decay", default=HeadSettings.weight_decay, help="Of Adam.")
@click.option("--batch-size", type=click.IntRange(min=1), default=HeadSettings.batch_size, help="Windows per step.")
@click.option("--patience", type=click.IntRange(min=1), default=HeadSettings.patience, help="Epochs without gain.")
@click.option("--max-epochs", type=click.IntRange(min=1), default=HeadSettings.max_epochs, help="Epochs at most.")
@one_line_errors()
def main(features: Path, out: Path, seeds: int, first_seed: int, **options: Any) -> None:
    """Train a linear head on the training split, stop by the validation split, score the test split once."""
    settings = HeadSettings(**options)
    dump = open_features(features)
    splits = load_splits(dump)
    seed_list = list(range(first_seed, first_seed + seeds))
    test = [probe(splits, dump.vocabulary, settings, seed) for seed in seed_list]
    protocol = {
        "dataset": dump.origin["dataset"],
        "encoder": dump.origin["encoder"],
        "sample_rate": dump.origin["sample_rate"],
        "tracks": {name: len(split.labels) for name, split in splits.items()},
        "windows": {name: len(split.features) for name, split in splits.items()},
        "untagged": "included; left out of the item-wise scores",
        "aggregation": "mean over a track's windows of the sigmoid",
        "head": {"kind": "linear", "standardised_by": "train", **asdict(settings)},
        "selection": "best epoch by mean of tag-wise ROC-AUC and PR-AUC on the validation tracks",
        "seeds": seed_list,
        "test_prevalence": {
            tag: float(share) for tag, share in zip(dump.vocabulary, splits["test"].labels.mean(axis=0), strict=True)
        },
    }
    result = {"protocol": protocol, "summary": summarise(test), "test": test}
    write_tags(test, out / "tags.csv")
    with publish(out / "scores.json") as path:
        path.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    click.echo(describe(result))


if __name__ == "__main__":
    main()
