"""What a score was measured by: as JSON, and in the lines that are printed above it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from train.probing.settings import ProbeSettings
from train.probing.splits import ProbeData
from train.spread import Spread

AGGREGATIONS = {
    ("probability", "tags"): "mean over a track's windows of the sigmoid",
    ("probability", "classes"): "mean over a track's windows of the softmax",
    ("logit", "tags"): "sigmoid of the mean over a track's windows of the logits",
    ("logit", "classes"): "softmax of the mean over a track's windows of the logits",
    ("feature", "tags"): "sigmoid for the mean of a track's windows' features, also in training",
    ("feature", "classes"): "softmax for the mean of a track's windows' features, also in training",
}
UNTAGGED = {"keep": "included; left out of the item-wise scores", "drop": "left out of all splits"}
SCORE = "mean of tag-wise ROC-AUC and PR-AUC on the validation tracks"


def _selection(settings: ProbeSettings) -> str:
    if settings.solver == "lbfgs":
        return f"L2 strength by {SCORE}"
    by = SCORE if settings.stop_by == "score" else "cross-entropy of the validation windows"
    if settings.head.keep == "last":
        return f"weights of the last epoch, stopped after {settings.head.patience} without a better {by}"
    return f"best epoch by {by}"


def describe_protocol(data: ProbeData, settings: ProbeSettings, seeds: list[int]) -> dict[str, Any]:
    """Everything a reader needs to compare the scores with others, for scores.json."""
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    scale = "train" if settings.standardise else None
    head: dict[str, Any] = {"kind": settings.head.kind, "solver": settings.solver, "standardised_by": scale}
    if settings.solver == "adam":
        head |= asdict(settings.head)
    else:
        head["penalties"] = list(settings.penalties)
    train = data.train
    positives = train.labels.sum(axis=0).tolist()
    unseen = [tag for tag, count in zip(data.vocabulary, positives, strict=True) if not count]
    return {
        "preset": settings.preset,
        "dataset": data.origin["dataset"],
        "encoder": data.origin["encoder"],
        "sample_rate": data.origin["sample_rate"],
        "task": data.task,
        "tracks": {name: split.protocol["tracks"] for name, split in splits.items()},
        "hop_frames": data.origin.get("hop_frames", data.origin.get("window_frames")),
        "windows": {name: split.protocol["windows"] for name, split in splits.items()},
        "untagged": UNTAGGED[settings.untagged],
        "untagged_tracks": {name: split.protocol["untagged"] for name, split in splits.items()},
        "labels": {
            "fraction": settings.label_fraction,
            "subset_seed": settings.subset_seed,
            "songs": train.protocol["songs"],
            "songs_in_all": train.protocol["songs_in_all"],
            "tags_without_positives": unseen,
        },
        "training_windows": "one of each track, drawn by the seed" if settings.one_window else "all",
        "last_window": settings.last_window,
        "last_windows_dropped": {name: split.protocol.get("last_windows_dropped", 0) for name, split in splits.items()},
        "aggregation": AGGREGATIONS[settings.aggregation, data.task],
        "head": head,
        "selection": _selection(settings),
        "seeds": seeds,
        "test_prevalence": {
            tag: float(share) for tag, share in zip(data.vocabulary, data.test.labels.mean(axis=0), strict=True)
        },
    }


def _describe_labels(labels: dict[str, Any]) -> list[str]:
    unseen = labels["tags_without_positives"]
    without = f"; {len(unseen)} tags without a training track: {', '.join(unseen)}" if unseen else ""
    if labels["fraction"] == 1 and not unseen:
        return []
    share = f"{labels['songs']} of {labels['songs_in_all']} training songs"
    return [f"labels    {labels['fraction']:.4g}: {share}, subset seed {labels['subset_seed']}{without}"]


def _describe_head(protocol: dict[str, Any], test: list[dict[str, Any]]) -> str:
    head = protocol["head"]
    kind = {"linear": "linear", "mlp": "one hidden layer"}[head["kind"]]
    scale = "standardised" if head["standardised_by"] else "raw"
    if head["solver"] == "lbfgs":
        return f"{kind} on {scale} features, L-BFGS, penalty {test[0]['penalty']:g}; one head, nothing is drawn"
    seeds = ", ".join(map(str, protocol["seeds"]))
    return f"{kind} on {scale} features, Adam {head['learning_rate']:g}, seeds {seeds}"


def describe(result: dict[str, Any]) -> str:
    """The result in a few lines: protocol first, then the numbers."""
    protocol, test, summary = result["protocol"], result["test"], result["summary"]
    tracks, dropped = protocol["tracks"], protocol["last_windows_dropped"]["test"]
    windows = f"{protocol['windows']['test']} windows" + (f", {dropped} last ones dropped" if dropped else "")

    def line(kind: str, what: str, without: str) -> str:
        numbers = test[0][kind]
        counts = (
            f"({numbers['counted']} {what}; skipped: {numbers['skipped_without_positives']} {without}, "
            f"{numbers['skipped_without_negatives']} with all)"
        )
        if summary[kind]["roc_auc"] is None:
            return f"{kind}-wise".ljust(10) + f"nothing can be ranked  {counts}"
        scores = f"ROC-AUC {Spread(**summary[kind]['roc_auc'])}  PR-AUC {Spread(**summary[kind]['pr_auc'])}"
        return f"{kind}-wise".ljust(10) + f"{scores}  {counts}"

    untagged = ", ".join(map(str, protocol["untagged_tracks"].values()))
    inside = "in" if protocol["untagged"] == UNTAGGED["keep"] else "out"
    counts = f"{tracks['train']} train, {tracks['valid']} valid, {tracks['test']} test"
    lines = [
        f"data      {protocol['dataset']}: {counts} tracks; untagged ones {inside} ({untagged})",
        *_describe_labels(protocol["labels"]),
        f"features  {protocol['encoder']}",
        f"head      {_describe_head(protocol, test)}",
        f"choice    {protocol['selection']}",
        f"protocol  {protocol['preset']}; test split, {windows}; {protocol['aggregation']}",
        line("tag", "tags", "without tracks"),
        line("item", "tracks", "untagged"),
    ]
    if "accuracy" in summary:
        lines.append(f"accuracy  {Spread(**summary['accuracy'])}")
    return "\n".join(lines)
