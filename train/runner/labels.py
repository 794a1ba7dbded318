"""Label efficiency (paper Figures 5 and 6): a frozen encoder and the supervised network on the same shares of songs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clmr.errors import ConfigError
from train.paper_results import paper_tables
from train.runner.page import NOT_RUN, grid, heading, in_percent
from train.runner.plan import Unit, probe_options
from train.runner.programs import parse
from train.runner.results import columns_of, protocol_of, read_scores
from train.runner.stages import Places, embedding, probing, training
from train.runner.tables import TAG
from train.spread import Spread

PERCENT = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)
FIGURES = {"mtat": ("Figure 5", "CLMR"), "msd": ("Figure 6", "CLMR")}
SYSTEMS = ("probe", "supervised")
"""Folders of the two, whose every folder is one score of one share of the songs."""


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """What ``python -m train.runner labels`` was asked for."""

    out: Path
    """Holds features, probe/percent-P-subset-S and supervised/percent-P-subset-S."""
    shards: str
    """Labelled shards, of clips rather than of joined songs."""
    source: tuple[str, Path]
    """``--run`` or ``--checkpoint`` of train/embed.py and its value."""
    percent: tuple[float, ...] = PERCENT
    """Shares of the training songs, above 0 and at most 100."""
    subsets: int = 3
    """Draws of the songs of each share, seeds 0 and on; at 100 % there is nothing to draw for a probe."""
    preset: str = "paper"
    """Of train/probe.py."""
    head: str = "linear"
    """``linear``, or ``mlp`` for a hidden layer."""
    seeds: int = 3
    """Heads of every probe."""
    supervised: bool = True
    """Train the networks to compare with; they take nearly all of the time."""
    supervised_options: tuple[str, ...] = ()
    """For train/supervised.py."""
    places: Places = field(default_factory=Places)

    def units(self) -> list[Unit]:
        """Features once, then every share of every system."""
        features = self.out / "features"
        units = [self._unit("features", embedding(self.source, self.shards, features, self.places))]
        for name, percent, seed in self.shares("probe"):
            options = (*probe_options(self.preset, self.head, self.seeds), *share_options(percent, seed))
            units.append(self._unit(f"probe-{name}", probing(features, self.out / "probe" / name, options)))
        for name, percent, seed in self.shares("supervised") if self.supervised else ():
            # The seed of the weights goes along with that of the songs: the spread is of both.
            drawn = (*share_options(percent, seed), "--seed", str(seed))
            arguments = ("--shards", self.shards, *drawn, *self.supervised_options)
            self._check(arguments)
            stage = training("supervised.py", arguments, self.out / "supervised" / name, self.places)
            units.append(self._unit(f"supervised-{name}", stage))
        return units

    def shares(self, system: str) -> list[tuple[str, float, int]]:
        """Name of the folder, per cent and seed of the songs of everything that is scored."""
        return [
            (f"percent-{percent:g}-subset-{seed}", percent, seed)
            for percent in self.percent
            for seed in range(1 if percent == 100 and system == "probe" else self.subsets)
        ]

    def _check(self, arguments: tuple[str, ...]) -> None:
        """Refuse options that would train on other songs than the probe's."""
        count = len(arguments) - len(self.supervised_options)
        ours, asked = (
            parse("supervised.py", (*words, "--run", str(self.out))).params for words in (arguments, arguments[:count])
        )
        for name in ("run", "shards", "label_fraction", "subset_seed", "seed"):
            if ours[name] != asked[name]:
                option = "--" + name.replace("_", "-")
                raise ConfigError(f"--supervised-options: {option} follows from the share of the songs; leave it out")

    def _unit(self, name: str, stage: Any) -> Unit:
        return Unit(name, self.out, (stage,), share=name)

    def curves(self) -> dict[str, Any]:
        """What there is: for every system and share the spread of its scores, and the protocols."""
        protocols: dict[str, None] = {}
        points: list[dict[str, Any]] = []
        dataset = None
        for system in SYSTEMS:
            for percent in self.percent:
                names = [name for name, each, _ in self.shares(system) if each == percent]
                contents = [read_scores(self.out / system / name) for name in names]
                there = [content for content in contents if content is not None]
                for content in there:
                    protocols.setdefault(_without_counts(content))
                    dataset = content["protocol"]["dataset"]
                points.append(
                    {
                        "system": system,
                        "percent": percent,
                        "songs": there[0]["protocol"].get("labels", {}).get("songs") if there else None,
                        "tracks": there[0]["protocol"]["tracks"]["train"] if there else None,
                        "subsets": len(there),
                        **{column: _over_subsets([columns_of(each) for each in there], column) for column in TAG},
                        "paper": paper_score(dataset, system, percent / 100),
                    }
                )
        return {"points": points, "protocol": list(protocols)}


def share_options(percent: float, seed: int) -> tuple[str, ...]:
    """Options of train/probe.py and train/supervised.py alike."""
    return ("--label-fraction", f"{percent / 100:.10g}", "--subset-seed", str(seed))


def paper_score(dataset: str | None, system: str, fraction: float) -> float | None:
    """The tag-wise PR-AUC that the paper's text prints, per cent."""
    if dataset not in FIGURES:
        return None
    model = "CLMR" if system == "probe" else "SampleCNN"
    rows = paper_tables()[FIGURES[dataset][0]].select(model=model, label_fraction=fraction)
    return rows[0].scores["tag_pr_auc"] if rows else None


def markdown(curves: dict[str, Any]) -> str:
    """The curves as a table: one line for each share."""
    points = {(point["system"], point["percent"]): point for point in curves["points"]}
    columns = [
        text
        for name in ("frozen encoder", "supervised")
        for text in (f"{name}: {heading(TAG[0])}", heading(TAG[1]), "paper")
    ]
    lines = [["labels", "songs", "tracks", *columns]]
    for percent in dict.fromkeys(point["percent"] for point in curves["points"]):
        probe = points["probe", percent]
        line = [f"{percent:g} %", *("-" if probe[key] is None else f"{probe[key]:,}" for key in ("songs", "tracks"))]
        for system in SYSTEMS:
            point = points[system, percent]
            line += [in_percent(Spread(**point[column])) if point[column] else NOT_RUN for column in TAG]
            line.append("-" if point["paper"] is None else f"{point['paper']:g}")
        lines.append(line)
    protocol = [f"Protocol: {line}." for line in curves["protocol"]]
    spread = "Mean and deviation over the draws of the songs; of a single draw over its heads."
    return "\n\n".join(["## Label efficiency (Figures 5 and 6)", grid(lines), spread, *protocol])


def _over_subsets(found: Sequence[dict[str, Spread]], column: str) -> dict[str, Any] | None:
    """Over several draws of songs the spread of their means, else that of the heads."""
    spreads = [scores[column] for scores in found if column in scores]
    if not spreads:
        return None
    return asdict(spreads[0] if len(spreads) == 1 else Spread.of([float(np.float64(each.mean)) for each in spreads]))


def _without_counts(content: dict[str, Any]) -> str:
    """The protocol of a score, whose training tracks are those of its share."""
    tracks = {**content["protocol"]["tracks"], "train": "a share of"}
    seeds = {"seed": "as the songs'"} if "seed" in content["protocol"] else {}
    return protocol_of({**content, "protocol": {**content["protocol"], **seeds, "tracks": tracks}})
