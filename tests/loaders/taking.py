"""Loaders over small shards, and what came out of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from loaders import Batch, PairLoader
from tests.loaders.small_shards import CROP

BATCH = 8


def open_loader(shards: Path | str | Mapping[str, float], **settings: Any) -> PairLoader:
    return PairLoader(shards, **{"batch_size": BATCH, "crop_frames": CROP, "seed": 3, "threads": 2, **settings})


def take(loader: PairLoader, number: int) -> list[Batch]:
    """The next batches, across epochs."""
    batches: list[Batch] = []
    while len(batches) < number:
        batches += islice(loader, number - len(batches))
    return batches


def content(batches: list[Batch]) -> list[tuple[int, int, bytes, bytes, bytes]]:
    """Everything that must be reproduced, comparable by ==."""
    return [
        (b.epoch, b.step, b.pcm.numpy().tobytes(), b.keys.numpy().tobytes(), b.track.numpy().tobytes()) for b in batches
    ]
