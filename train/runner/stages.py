"""A stage: one command a user would type, and how to see that it has been done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clmr.errors import ResumeError
from sharding.publish import publish
from train.runner.programs import settings_of
from train.runs.checkpoint import checkpoint_path, checkpoints
from train.settings import read_config

RECEIPT = "command.json"
"""In the folder of a stage that is done: the command that did it."""


@dataclass(frozen=True)
class Places:
    """Where commands run: what changes nothing of what they compute."""

    processes: int = 1
    """Of training and embedding; more than one are started by torchrun."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int | None = None
    """CPU threads of a process; None leaves it to the program."""

    @property
    def options(self) -> tuple[str, ...]:
        """As options of the command line."""
        device = () if self.device == "auto" else ("--device", self.device)
        return (*device, *(() if self.threads is None else ("--threads", str(self.threads))))


@dataclass(frozen=True)
class Stage:
    """One command. It is done when its last file is there, is no older than what it was made of, and says so."""

    name: str
    """What the closing line calls it."""
    script: str
    """File of train/."""
    arguments: tuple[str, ...]
    """That decide what it computes."""
    out: Path
    """Folder it writes to."""
    last_file: str
    """What it writes last in there."""
    places: Places | None = None
    """None for a program that takes no such options."""
    made_of: tuple[Path, ...] = ()
    """Files it reads that an earlier stage writes, or the folder of a run, which stands for its newest checkpoint."""

    def finished(self) -> bool:
        """Whether the command need not run."""
        result = self.out / self.last_file
        sources = [_newest(path) for path in self.made_of]
        if not result.is_file() or any(path is None for path in sources):
            return False
        made = result.stat().st_mtime_ns
        if any(path.stat().st_mtime_ns > made for path in sources if path is not None):
            return False
        return bool(_read(self.out / RECEIPT) == list(self.arguments))

    def conclude(self) -> None:
        """Note that the command has done it."""
        with publish(self.out / RECEIPT) as path:
            path.write_text(json.dumps(list(self.arguments), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class TrainingStage(Stage):
    """A training: it is done when the run has its last checkpoint and was begun with these very settings.

    Anything else is left to the program: it goes on, or says which setting the run was begun with.
    """

    def finished(self) -> bool:
        """Whether the command need not run."""
        try:
            config = read_config(self.out)
        except ResumeError:
            return False
        last = checkpoint_path(self.out, config["total_steps"])
        if not last.exists() or last != checkpoints(self.out)[-1] or not (self.out / self.last_file).exists():
            return False
        return bool(config["settings"] == settings_of(self.script, (*self.arguments, *self.options)))

    @property
    def options(self) -> tuple[str, ...]:
        """Of where it runs."""
        return self.places.options if self.places else ()

    def conclude(self) -> None:
        """Its own files say it."""


def training(script: str, arguments: Sequence[str], run: Path, places: Places) -> TrainingStage:
    """A run of train/pretrain.py, train/cpc.py or train/supervised.py in the folder ``run``."""
    last = "scores.json" if script == "supervised.py" else "config.json"
    return TrainingStage("training", script, (*arguments, "--run", str(run)), run, last, places)


def embedding(source: tuple[str, Path], shards: str, out: Path, places: Places) -> Stage:
    """Features of all windows; ``source`` is ``--run`` or ``--checkpoint`` and its value."""
    option, path = source
    arguments = (option, str(path), "--shards", shards, "--out", str(out))
    return Stage(f"embedding {out.name}", "embed.py", arguments, out, "features.json", places, (path,))


def probing(features: Path, out: Path, options: Sequence[str]) -> Stage:
    """Probe of a feature folder."""
    arguments = ("--features", str(features), "--out", str(out), *options)
    made_of = (features / "features.json",)
    return Stage(f"probe {out.name}", "probe.py", arguments, out, "scores.json", None, made_of)


def _newest(path: Path) -> Path | None:
    """The file, or the newest checkpoint of a run; None while there is none."""
    if path.is_dir():
        found = checkpoints(path)
        return found[-1] if found else None
    return path if path.is_file() else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
