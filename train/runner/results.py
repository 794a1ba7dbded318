"""What a plan's folders hold: the scores of every probe, their protocol, and how the run differs from its recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clmr.errors import FeatureError, ResumeError
from train.runner.programs import differences, settings_of
from train.runner.training import Training, probe_shards
from train.runs.checkpoint import checkpoint_path
from train.settings import read_config
from train.spread import Spread

METRICS = {
    f"{kind}_{metric}": (name, metric)
    for kind, name in (("tag", "tag"), ("clip", "item"))
    for metric in ("roc_auc", "pr_auc")
}
"""The paper's columns and where scores.json has them."""
PREFIXES = {"": "linear", "mlp_": "mlp"}
"""What a column begins with, and the head it is of."""


CHECKPOINT = re.compile(r"step-([0-9]+)\.pt")


@dataclass(frozen=True)
class Found:
    """The scores of one encoder on one data set, or of a supervised network."""

    scores: dict[str, Spread]
    """By column, as shares; ``mlp_`` columns where a hidden layer was probed."""
    protocols: tuple[str, ...]
    """How they were measured, a line for each kind of head."""
    differs: tuple[str, ...]
    """What makes it another row than the paper's: settings that are not the recipe's, other data to probe on, and
    features of a checkpoint that is not the run's last."""
    unfinished: bool
    """The run has not reached its last step."""


def read_scores(folder: Path) -> dict[str, Any] | None:
    """``scores.json`` of a folder, None without one.

    Raises:
        FeatureError: it is damaged.
    """
    path = folder / "scores.json"
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # What the tables read of it: whatever is missing shows here, where the file can be named.
        columns_of(content), protocol_of(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(repr(error).split())
        raise FeatureError(f"{path} is damaged ({said}); remove it and run the plan again") from error
    if content["test"] == []:
        raise FeatureError(f"{path} is damaged: no scores in it; remove it and run the plan again")
    return content


def columns_of(content: dict[str, Any], prefix: str = "") -> dict[str, Spread]:
    """The paper's columns, over the heads of a probe or of one supervised network; none without a value."""
    test = content["test"]
    heads = test if isinstance(test, list) else [test]
    if not heads:
        return {}
    found: dict[str, Spread] = {}
    for column, (kind, metric) in METRICS.items():
        values = [value for head in heads if (value := (head.get(kind) or {}).get(metric)) is not None]
        if len(values) == len(heads):
            found[prefix + column] = Spread.of([float(value) for value in values])
    if all("accuracy" in head for head in heads):
        found[prefix + "accuracy"] = Spread.of([float(head["accuracy"]) for head in heads])
    return found


def protocol_of(content: dict[str, Any]) -> str:
    """One line: data, split sizes, untagged tracks, aggregation, head, choice and seeds."""
    protocol = content["protocol"]
    tracks = protocol["tracks"]
    head = protocol.get("head")
    if head is None:
        trained, seeds = "supervised SampleCNN", [protocol["seed"]]
    else:
        kind = "one hidden layer" if head["kind"] == "mlp" else "linear"
        trained, seeds = f"preset {protocol['preset']}, {kind}", protocol["seeds"]
    drawn = f"seeds {', '.join(map(str, seeds))}" if head is None or head.get("solver") != "lbfgs" else "nothing drawn"
    return (
        f"{protocol['dataset']} at {protocol['sample_rate']} Hz, test split of {tracks['test']} tracks "
        f"({tracks['train']} train, {tracks['valid']} valid); untagged tracks {protocol['untagged']}; {trained}; "
        f"{protocol['aggregation']}; {protocol['selection']}; {drawn}"
    )


def result_of(training: Training, home: Path, dataset: str | None, preset: str) -> Found | None:
    """What the folder ``home`` of a training holds of one data set; None while nothing was scored.

    Raises:
        ClmrError: a file is damaged, or the recipe no longer exists.
    """
    run = home / "run"
    try:
        config = read_config(run)
    except ResumeError:
        return None
    if training.program == "supervised":
        contents = {"": read_scores(run)}
    else:
        folder = home / "probe" / probe_shards(training, dataset, config["settings"]["sample_rate"])
        contents = {prefix: read_scores(folder / f"{preset}-{head}") for prefix, head in PREFIXES.items()}
    there = {prefix: content for prefix, content in contents.items() if content is not None}
    if not there:
        return None
    shards = [word for each in training.shards for word in ("--shards", each)]
    script, missing = f"{training.program}.py", home / "as-the-paper"  # no such run: settings alone
    planned = settings_of(script, (*training.arguments, *shards, "--run", str(missing)))
    last = checkpoint_path(run, config["total_steps"])
    differs = [
        *differences(config["settings"], planned),
        *other_data(there.values(), dataset),
        *earlier(there.values(), last, config["total_steps"]),
    ]
    return Found(
        scores=dict(each for prefix, content in there.items() for each in columns_of(content, prefix).items()),
        protocols=tuple(map(protocol_of, there.values())),
        differs=tuple(differs),
        unfinished=not last.exists(),
    )


def other_data(contents: Iterable[dict[str, Any]], dataset: str | None) -> list[str]:
    """What was probed on instead of the data set."""
    found = dict.fromkeys(str(content["protocol"]["dataset"]) for content in contents)
    return [f"probed on {name}" for name in found if dataset not in {None, name}]


def earlier(contents: Iterable[dict[str, Any]], last: Path, steps: int) -> list[str]:
    """The checkpoints that were scored instead of the last: the training went on, and its probes did not follow yet."""
    encoders = dict.fromkeys(content["protocol"].get("encoder") for content in contents)
    found = [CHECKPOINT.fullmatch(Path(str(encoder)).name) for encoder in encoders if encoder is not None]
    return [f"scored at step {int(each[1])} of {steps}" for each in found if each and each[0] != last.name]


def lines_by_protocol(found: Iterable[tuple[str, Found]]) -> list[str]:
    """Every protocol once, with the labels of its rows where there are several."""
    rows: dict[str, list[str]] = {}
    for label, each in found:
        for line in each.protocols:
            rows.setdefault(line, []).append(label)
    return [line if len(rows) == 1 else f"{line} ({'; '.join(labels)})" for line, labels in rows.items()]
