"""What a pretraining run was asked for: one frozen dataclass, checked, saved beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError, ResumeError
from loaders.order.mixture import parse_mixture
from loaders.settings import parse_size
from sharding.publish import publish

PRECISIONS = ("float32", "bf16", "float64")


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Settings of train/pretrain.py; the defaults are the paper's (sections 2.3 to 2.9)."""

    shards: tuple[str, ...]
    """Folders of shards, by path or URL; each may end in ``=weight``, its share of every batch."""
    sample_rate: int | None = None
    """Hz the shards must have: 22050, 16000 or 8000; None takes what they have."""
    batch_size: int = 96
    """Pairs in a GLOBAL batch, over all ranks; >= 2."""
    epochs: int | None = None
    """Passes over the tracks; give this or ``steps``."""
    steps: int | None = None
    """Optimiser steps; 0 writes the initial weights only."""
    width: int = 512
    """Length of the encoder's representation h; its channels scale with it."""
    projection: int = 128
    """Length of the projection z that the loss sees."""
    temperature: float = 0.5
    """tau of eq. 1; > 0."""
    learning_rate: float = 3e-4
    """Of Adam, beta 0.9 and 0.999; 0 trains nothing but the batch-norm statistics."""
    augment: str = "paper"
    """Preset of clmr.augment, or the file of a recipe."""
    recipe: str | None = None
    """Text of that recipe; None for a preset."""
    probability: tuple[str, ...] = ()
    """Probabilities that differ from the chain's, such as ``pitch=0.8``."""
    seed: int = 0
    """Of the initial weights and of every draw."""
    precision: str = "float32"
    """float32, bf16 (autocast) or float64 (for parity checks)."""
    backend: str = "auto"
    """Of the loader: torch, dali, resident or webdataset."""
    access: str = "auto"
    """How remote shards are read: ranges or stream."""
    window: int | None = None
    """Shards among which streaming mixes tracks; None leaves it to the loader."""
    cache: str | None = None
    """Folder of the streaming cache; None takes the loader's."""
    cache_size: str | None = None
    """Most the cache may hold, such as 500GiB; None takes 80 % of what is free."""
    pairs_per_read: int = 1
    """Batches in a row made of the same tracks."""
    shuffle: int | None = None
    """Pairs that the webdataset backend mixes in memory; None leaves it to the loader."""
    depth: int | None = None
    """Batches read ahead; None leaves it to the loader."""
    quiet_db: float | None = None
    """Avoid crops this many dB quieter than their track."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each folder of shards."""
        return dict(parse_mixture(self.shards))

    @property
    def loader_options(self) -> dict[str, Any]:
        """What the loader is asked for on top of batches and seed."""
        return {
            "backend": self.backend,
            "access": self.access,
            "window": self.window,
            "cache": self.cache,
            "cache_bytes": parse_size(self.cache_size) if self.cache_size is not None else None,
            "epochs": self.epochs,
            "steps": self.steps,
            "pairs_per_read": self.pairs_per_read,
            "shuffle": self.shuffle,
            "depth": self.depth,
            "quiet_db": self.quiet_db,
        }

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ConfigError("give --epochs or --steps, one of the two")
        if (self.epochs or 0) < 0 or (self.steps or 0) < 0:
            raise ConfigError("--epochs and --steps are at least 0")
        if self.batch_size < 2:
            raise ConfigError(f"--batch-size {self.batch_size}: a contrastive batch needs at least 2 pairs")
        if not self.temperature > 0:
            raise ConfigError(f"--temperature {self.temperature}: must be greater than 0")
        if not 0 <= self.learning_rate < float("inf"):
            raise ConfigError(f"--learning-rate {self.learning_rate}: must be a number from 0 up")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"--precision {self.precision}: one of {', '.join(PRECISIONS)}")


# A longer run may go on from a shorter one, and shards may move; everything else decides the weights.
# (The loader's own state holds what the shards, their weights and the window have to be; train/augment_choice.py
# compares chains by what they do.)
FREE_ON_RESUME = {
    *("shards", "epochs", "steps", "sample_rate", "augment", "recipe", "probability"),
    *("backend", "access", "window", "cache", "cache_size", "depth"),
}


def save_config(run: Path, config: dict[str, Any]) -> None:
    """Write ``config.json`` of a run, whole."""
    with publish(run / "config.json") as path:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_config(run: Path) -> dict[str, Any]:
    """Read ``config.json`` of a run.

    Raises:
        ResumeError: it is missing or damaged.
    """
    path = run / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResumeError(
            f"{run} is no run of train/pretrain.py: config.json is missing or damaged ({error})"
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("settings"), dict) or "total_steps" not in config:
        raise ResumeError(f"{path} is not a configuration written by train/pretrain.py")
    return config


def check_resume(run: Path, settings: PretrainSettings) -> None:
    """Refuse to go on in ``run``, which has checkpoints, with settings that would make other weights.

    Raises:
        ResumeError: names the first setting that differs, both values and the remedy.
    """
    saved, now = read_config(run)["settings"], asdict(settings)
    for name in (field.name for field in fields(settings) if field.name not in FREE_ON_RESUME):
        if saved.get(name) != now[name]:
            raise ResumeError(
                f"{run} was begun with {name} = {saved.get(name)}, not {now[name]}: "
                "repeat that setting or give a new --run"
            )
