"""Scores of probes and of supervised networks, read for the figures: NAME=DIR on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clmr.errors import ConfigError, FeatureError
from train.spread import Spread

METRICS = {
    "tag.roc_auc": "ROC-AUC, mean over tags",
    "tag.pr_auc": "PR-AUC, mean over tags",
    "item.roc_auc": "ROC-AUC, mean over tracks",
    "item.pr_auc": "PR-AUC, mean over tracks",
    "accuracy": "accuracy",
}
HEADS = {"linear": "linear head", "mlp": "head with one hidden layer"}
PAPER_COLUMNS = {"tag.roc_auc": "tag_roc_auc", "tag.pr_auc": "tag_pr_auc"} | {
    "item.roc_auc": "clip_roc_auc",
    "item.pr_auc": "clip_pr_auc",
}
"""The paper's columns (train/paper_results.toml) of the same measures."""


@dataclass(frozen=True)
class Scored:
    """One scores.json."""

    folder: Path
    protocol: dict[str, Any]
    test: tuple[dict[str, Any], ...]
    """Scores of each head, or of the one supervised network."""

    @property
    def label_fraction(self) -> float:
        """Share of the training songs whose labels were used; all of them where the protocol does not say."""
        labels = self.protocol.get("labels")  # of a probe; a supervised network's protocol has label_fraction
        given = labels.get("fraction") if isinstance(labels, dict) else self.protocol.get("label_fraction", 1.0)
        if not isinstance(given, int | float) or not 0 < given <= 1:
            raise FeatureError(f"{self.folder}/scores.json: a share of the labels of {given!r} is none; score again")
        return float(given)

    def values(self, metric: str) -> list[float]:
        """The metric of every head.

        Raises:
            FeatureError: it was not scored.
        """
        return [self._of(head, metric.split("."), metric) for head in self.test]

    def tags(self, metric: str) -> dict[str, list[float]]:
        """``roc_auc`` or ``pr_auc`` of every tag, by every head."""
        try:
            names = list(self.test[0]["tag"]["per_tag"])
            return {tag: [float(head["tag"]["per_tag"][tag][metric]) for head in self.test] for tag in names}
        except (KeyError, TypeError) as error:
            raise FeatureError(f"{self.folder}/scores.json holds no {metric} of each tag ({error})") from error

    def _of(self, head: dict[str, Any], keys: Sequence[str], metric: str) -> float:
        value: Any = head
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise FeatureError(
                f"{self.folder}/scores.json holds no {metric}; choose another --metric, of what it holds"
            )
        return float(value)


def read_scores(folder: Path) -> Scored:
    """The scores of a folder of train/probe.py or train/supervised.py.

    Raises:
        FeatureError: missing or damaged.
    """
    path = folder / "scores.json"
    if not path.exists():
        raise FeatureError(f"{path} is missing: score there first, with train/probe.py or train/supervised.py")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        protocol, test = content["protocol"], content["test"]
        heads = tuple(test) if isinstance(test, list) else (test,)
        if not heads or not all(isinstance(each, dict) for each in (protocol, *heads)):
            raise FeatureError(f"{path} is damaged: no scores in it; score again")
        return Scored(folder, protocol, heads)
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureError(f"{path} is damaged ({' '.join(repr(error).split())}); score again") from error


def find_scores(folder: Path) -> list[Scored]:
    """The scores of a folder, or of all folders right below it."""
    if (folder / "scores.json").exists() or not folder.is_dir():
        return [read_scores(folder)]
    below = sorted(path.parent for path in folder.glob("*/scores.json"))
    return [read_scores(each) for each in below] or [read_scores(folder)]


def split_name(given: str, option: str, example: str) -> tuple[str, str]:
    """NAME and what follows its "=".

    Raises:
        ConfigError: there is no "=", or nothing before or behind it.
    """
    name, equals, rest = given.partition("=")
    if not (name and equals and rest):
        raise ConfigError(f"{option} {given}: write it as {example}")
    return name, rest


def by_name(given: Iterable[str]) -> dict[str, list[Scored]]:
    """Several NAME=DIR: name -> all scores under that name, in the order given."""
    found: dict[str, list[Scored]] = {}
    for each in given:
        name, folder = split_name(each, "--probe", "--probe NAME=DIR")
        found.setdefault(name, []).extend(find_scores(Path(folder)))
    return found


def spread_of(values: Sequence[Sequence[float]]) -> tuple[Spread, int, str]:
    """Mean and spread of one score in some folders, from each folder's heads.

    Returns:
        Of several folders the spread over their means, else that over the heads; how many; and of what.
    """
    if len(values) > 1:
        return Spread.of([float(np.mean(heads)) for heads in values]), len(values), "runs"
    return Spread.of(values[0]), len(values[0]), "heads"


def same_test(scored: Iterable[Scored]) -> str:
    """The test data in words.

    Raises:
        ConfigError: the scores are of different data.
    """
    known: dict[tuple[Any, Any], Path] = {}
    for each in scored:
        tracks = each.protocol.get("tracks")
        known.setdefault(
            (each.protocol.get("dataset"), tracks["test"] if isinstance(tracks, dict) else None), each.folder
        )
    if len(known) > 1:
        (one, other), (first, second) = list(known)[:2], list(known.values())[:2]
        raise ConfigError(
            f"{first} is scored on {one[1]} test tracks of {one[0]}, {second} on {other[1]} of {other[0]}: "
            "one figure compares scores of one test set"
        )
    ((dataset, count),) = known
    return f"{dataset}, {count} test tracks"


def is_papers(scored: Iterable[Scored], paper: bool | None) -> bool:
    """Whether the paper's scores are drawn: as the user says, else where the test data are MagnaTagATune's."""
    return all(each.protocol.get("dataset") == "mtat" for each in scored) if paper is None else paper


def protocol_line(scored: Iterable[Scored]) -> str:
    """How the scores came about, of all that differ."""
    heads = []
    for each in scored:
        head = each.protocol.get("head")
        kind = HEADS.get(str(head.get("kind")), "head") if isinstance(head, dict) else "supervised network"
        preset = each.protocol.get("preset")
        parts = [kind, f"preset {preset}" if preset else None, each.protocol.get("aggregation")]
        heads.append(", ".join(str(part) for part in parts if part))
    text = "; ".join(dict.fromkeys(heads))
    return f"{text[:1].upper()}{text[1:]}."


def whiskers(kinds: Iterable[tuple[int, str]]) -> str:
    """What the whiskers are: the deviation over how many of what."""
    parts = [f"{count} {what}" for count, what in dict.fromkeys(kinds) if count > 1]
    return f"Whiskers: ±1 sample deviation over {' or '.join(parts)}." if parts else "One value each, no spread."
