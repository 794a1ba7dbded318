"""One training of a plan: which program with which options, and what it is probed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHARDS = "data/shards/"
"""Where recipes expect shards; what follows is the name that ``--shards NAME=FOLDER`` of the runner knows."""


@dataclass(frozen=True)
class Training:
    """A run that the runner knows how to make and to score."""

    name: str
    """Folder of its outputs, and what a plan calls it."""
    program: str
    """``pretrain``, ``cpc`` or ``supervised``."""
    arguments: tuple[str, ...]
    """Options of that program, without shards and folders."""
    shards: tuple[str, ...]
    """Folders of shards that it expects, each perhaps with ``=weight``."""
    probed_on: tuple[str | None, ...] = (None,)
    """Data sets, such as ``mtat``; None for the shards it was trained on."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """``pairs`` and ``gpu_hours`` of the whole training and more, where a recipe says so."""
    also: tuple[str, ...] = ()
    """Names of recipes that are the same training."""
    note: str | None = None
    """What the paper leaves open about it."""


def shards_name(folder: str) -> str:
    """What ``--shards NAME=FOLDER`` calls the shards that are expected in ``folder``, which may end in ``=weight``."""
    return folder.partition("=")[0].rstrip("/").rpartition("/")[2]


def probe_shards(training: Training, dataset: str | None, sample_rate: int | None) -> str:
    """The name of the shards to probe on: at 22,050 Hz the data set's, else with the rate behind it."""
    if dataset is None:
        return shards_name(training.shards[0])
    return dataset if sample_rate in {None, 22050} else f"{dataset}-{sample_rate}"
