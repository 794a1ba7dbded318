"""What a pretraining run was asked for: one frozen dataclass, checked, saved beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clmr.errors import ResumeError
from clmr.model import BATCH_STATISTICS
from loaders.order.mixture import parse_mixture
from loaders.settings import parse_size
from sharding.publish import publish
from train.refusals import refuse, unless_length, unless_one_of, unless_rate, unless_seed, unless_splits

PRECISIONS = ("float32", "bf16", "float64")
PRETRAIN_PRECISIONS = ("float32", "tf32", "bf16", "float64")
OPTIMIZERS = ("adam", "lars")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Settings of train/pretrain.py; the defaults are the paper's (sections 2.3 to 2.9)."""

    shards: tuple[str, ...]
    """Folders of shards, by path or URL; each may end in ``=weight``, its share of every batch."""
    splits: tuple[str, ...] = ("train",)
    """Splits of the shards to train on: train, valid, test."""
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
    batch_statistics: str = "view"
    """Batch norm over each view's crops by themselves (view), as the authors' code has it, or over both's (both)."""
    temperature: float = 0.5
    """tau of eq. 1; > 0."""
    learning_rate: float = 3e-4
    """Of Adam at its highest; LARS takes values near 1. 0 trains nothing but the batch-norm statistics."""
    optimizer: str = "adam"
    """adam, with beta 0.9 and 0.999, or lars (clmr/lars.py), for large batches."""
    weight_decay: float = 0.0
    """Of every parameter with adam (added to the gradient), of weight tensors alone with lars; >= 0."""
    schedule: str = "constant"
    """Learning rate after the warm-up: constant, or cosine, which falls to 0 at the end of the run."""
    warmup_epochs: int = 0
    """Epochs over which the learning rate rises linearly; give this or ``warmup_steps``."""
    warmup_steps: int = 0
    """The same in steps."""
    augment: str = "paper"
    """Preset of clmr.augment, or the file of a chain's recipe, or of the training recipe with an [augment] table."""
    recipe: str | None = None
    """Text of that chain's recipe; None for a preset."""
    probability: tuple[str, ...] = ()
    """Probabilities that differ from the chain's, such as ``pitch=0.8``."""
    seed: int = 0
    """Of the initial weights and of every draw."""
    precision: str = "float32"
    """float32, tf32 (matrix products of encoder and projector), bf16 (autocast of these) or float64 (parity checks)."""
    compile: bool = False
    """Compile encoder and projector with torch.compile, in the first step."""
    fused: bool = False
    """Keep the convolutions' outputs alone for the backward pass and compute the rest again."""
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
            "splits": self.splits,
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
        refuse(
            (
                (not self.shards, "give --shards, or a --recipe that names them"),
                *unless_length(self.epochs, self.steps),
                (self.batch_size < 2, f"--batch-size {self.batch_size}: a contrastive batch needs at least 2 pairs"),
                (not self.temperature > 0, f"--temperature {self.temperature}: must be greater than 0"),
                unless_rate("--learning-rate", self.learning_rate),
                unless_rate("--weight-decay", self.weight_decay),
                (
                    min(self.warmup_epochs, self.warmup_steps) < 0 or bool(self.warmup_epochs and self.warmup_steps),
                    "give --warmup-epochs or --warmup-steps, one of the two, at least 0",
                ),
                unless_seed(self.seed),
                unless_one_of("--precision", self.precision, PRETRAIN_PRECISIONS),
                (
                    self.compile and self.fused,
                    "--compile and --fused exclude each other: give the faster one (docs/speed.md)",
                ),
                unless_one_of("--batch-statistics", self.batch_statistics, BATCH_STATISTICS),
                unless_one_of("--optimizer", self.optimizer, OPTIMIZERS),
                unless_one_of("--schedule", self.schedule, SCHEDULES),
                unless_splits(self.splits),
            )
        )


# A longer run may go on from a shorter one, and shards may move; everything else decides the weights.
# (The loader's own state holds what the shards, their weights and the window have to be; train/augment_choice.py
# compares chains by what they do.)
FREE_ON_RESUME = {
    *("shards", "epochs", "steps", "sample_rate", "augment", "recipe", "probability"),
    *("backend", "access", "window", "cache", "cache_size", "depth", "compile", "fused"),
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


def read_pretraining(run: Path) -> dict[str, Any]:
    """:func:`read_config` of a run of train/pretrain.py, and no other.

    Raises:
        ResumeError: it is missing, damaged or another program's.
    """
    config = read_config(run)
    if "kind" in config:
        raise ResumeError(f"{run} is a run of train/{config['kind']}.py, not of train/pretrain.py: give another --run")
    return config


def check_resume(run: Path, settings: PretrainSettings) -> None:
    """Refuse to go on in ``run``, which has checkpoints, with settings that would make other weights.

    A run with a cosine cannot be prolonged or shortened: its learning rates were those of the length it was begun with.

    Raises:
        ResumeError: names the first setting that differs, both values and the remedy.
    """
    saved, now = read_pretraining(run)["settings"], json.loads(json.dumps(asdict(settings)))
    for field in fields(settings):
        name = field.name
        # A run begun before a setting existed was trained as its default says.
        before = saved.get(name, list(field.default) if isinstance(field.default, tuple) else field.default)
        length = saved.get("schedule") == "cosine" and name in {"epochs", "steps"}
        if (name in FREE_ON_RESUME and not length) or before == now[name]:
            continue
        why = ", and its cosine ends there" if length else ""
        raise ResumeError(
            f"{run} was begun with {name} = {before}, not {now[name]}{why}: repeat that setting or give a new --run"
        )
