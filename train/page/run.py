"""What there is of a run: its configuration, its logs and its newest checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from train.runs.checkpoint import checkpoints
from train.runs.log import read_log, read_probes
from train.settings import read_config


@dataclass(frozen=True)
class PageRequest:
    """What a page is about, and where its parts are looked for."""

    run: Path
    """Folder of a run of train/pretrain.py, train/cpc.py or train/supervised.py."""
    features: Path | None = None
    """Feature dump; None for RUN/features."""
    probes: tuple[Path, ...] = ()
    """Folders with scores.json; none for all that lie in the run."""
    shards: str | None = None
    """Path or URL of the shards that are heard; None for those that the features say they are of."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run, read."""

    folder: Path
    config: dict[str, Any]
    """config.json."""
    log: list[dict[str, Any]]
    """log.jsonl."""
    probes: dict[str, list[dict[str, Any]]]
    """probe.jsonl by the name of the shards."""
    checkpoint: Path | None
    """The newest; whether it can be read is not asked."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.resolve().name

    @property
    def kind(self) -> str:
        """``pretrain``, ``cpc`` or ``supervised``: the program in train/ that made it."""
        return str(self.config.get("kind", "pretrain"))

    @property
    def settings(self) -> dict[str, Any]:
        """What it was asked for."""
        settings: dict[str, Any] = self.config["settings"]
        return settings

    @property
    def shards(self) -> list[str]:
        """The folders of shards it was given, each perhaps with ``=weight``."""
        given = self.settings.get("shards", ())
        return [given] if isinstance(given, str) else [str(each) for each in given]

    @property
    def steps(self) -> int:
        """Optimiser steps done, by the newest checkpoint or the last line of the log."""
        saved = int(self.checkpoint.stem.removeprefix("step-")) if self.checkpoint else 0
        return max(saved, *(int(entry["step"]) for entry in self.log[-1:]), 0)

    @property
    def saved_at(self) -> str | None:
        """When the newest checkpoint was written."""
        if self.checkpoint is None:
            return None
        return datetime.fromtimestamp(self.checkpoint.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def read_run(folder: Path) -> Run:
    """Read a run; only its configuration has to be there.

    Raises:
        ResumeError: config.json is missing or damaged.
    """
    config = read_config(folder)
    curves: dict[str, list[dict[str, Any]]] = {}
    for entry in read_probes(folder):
        curves.setdefault(str(entry["shards"]), []).append(entry)
    newest = checkpoints(folder)[-1:]
    return Run(folder, config, read_log(folder), curves, newest[0] if newest else None)
