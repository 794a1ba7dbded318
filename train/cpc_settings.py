"""What a CPC run was asked for: one frozen dataclass, checked, saved beside the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clmr.errors import ResumeError
from loaders.order.mixture import parse_mixture
from loaders.settings import parse_size
from train.refusals import (
    check_unchanged,
    refuse,
    unless_at_least,
    unless_length,
    unless_one_of,
    unless_rate,
    unless_seed,
    unless_splits,
)
from train.settings import PRECISIONS, read_config

SYSTEM = "cpc"  # in config.json, where runs of train/pretrain.py have nothing


@dataclass(frozen=True, kw_only=True)
class CpcSettings:
    """Settings of train/cpc.py; the defaults are the paper's (sections 2.5 and 2.9)."""

    shards: tuple[str, ...]
    """Folders of shards, by path or URL; each may end in ``=weight``, its share of every batch."""
    splits: tuple[str, ...] = ("train",)
    """Splits of the shards to train on: train, valid, test."""
    sample_rate: int | None = None
    """Hz the shards must have; None takes what they have."""
    crop_frames: int | None = None
    """Samples of a sequence; None takes the crop of SampleCNN, 59,049 at 22.05 kHz, as the authors' code does."""
    batch_size: int = 64
    """Sequences in a GLOBAL batch, over all ranks, each of another track; >= 1."""
    epochs: int | None = None
    """Passes over the tracks; give this or ``steps``."""
    steps: int | None = None
    """Optimiser steps; 0 writes the initial weights only."""
    width: int = 512
    """Filters of the encoder's convolutions."""
    context: int = 256
    """Hidden units of the GRU, and features of a window."""
    predictions: int = 20
    """K, latents predicted from each context; >= 1."""
    negatives: int = 15
    """J, latents of the batch that each prediction is compared with; >= 1."""
    batch_norm: bool = False
    """Batch normalisation, over all ranks, behind every convolution; the authors' code has none."""
    learning_rate: float = 3e-4
    """Of Adam with beta 0.9 and 0.999."""
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
    depth: int | None = None
    """Batches read ahead; None leaves it to the loader."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each folder of shards."""
        return dict(parse_mixture(self.shards))

    @property
    def loader_options(self) -> dict[str, Any]:
        """What the loader is asked for on top of batches and seed."""
        options = asdict(self)
        names = ("sample_rate", "crop_frames", "splits", "backend", "access", "window", "cache", "epochs", "steps")
        cache_bytes = parse_size(self.cache_size) if self.cache_size is not None else None
        return {name: options[name] for name in (*names, "depth")} | {"cache_bytes": cache_bytes}

    def __post_init__(self) -> None:
        refuse(
            (
                (not self.shards, "give --shards"),
                *unless_length(self.epochs, self.steps),
                *(unless_at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1) for name in SIZES),
                unless_rate("--learning-rate", self.learning_rate),
                unless_seed(self.seed),
                unless_one_of("--precision", self.precision, PRECISIONS),
                unless_splits(self.splits),
            )
        )


SIZES = ("batch_size", "width", "context", "predictions", "negatives")

# A longer run may go on from a shorter one, and shards may move; everything else decides the weights.
# (The loader's own state holds what the shards, their weights, the crop and the window have to be.)
FREE_ON_RESUME = {
    *("shards", "epochs", "steps", "sample_rate", "crop_frames"),
    *("backend", "access", "window", "cache", "cache_size", "depth"),
}


def check_cpc_resume(run: Path, settings: CpcSettings) -> None:
    """Refuse to go on in ``run``, which has checkpoints, with settings that would make other weights.

    Raises:
        ResumeError: names the first setting that differs, both values and the remedy; or the run is another program's.
    """
    config = read_config(run)
    if config.get("kind") != SYSTEM:
        raise ResumeError(f"{run} is a run of train/{config.get('kind', 'pretrain')}.py: give a new --run")
    check_unchanged(run, config["settings"], settings, FREE_ON_RESUME)
