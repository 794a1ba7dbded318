"""PairLoader, and the copying of memory that no loader can be faster than."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from loaders import PairLoader
from loaders.speed import CopyCeiling
from loaders.threads import default_threads
from sharding.format import open_shards


def pairloader(shards: str, pairs: int, **options: Any) -> Iterator[Tensor]:
    """PairLoader with its defaults; every batch is dropped at once."""
    loader = PairLoader(shards, batch_size=pairs, **options)
    while True:
        yield from (batch.pcm for batch in loader)


def memory_copy(shards: str, pairs: int, crop_frames: int, threads: int | None = None) -> Iterator[int]:
    """Crops copied from PCM in memory into batches that are there already; no order, no draws, no files."""
    shard_set = open_shards(shards)
    tracks = shard_set.tracks(("train",))
    ceiling = CopyCeiling(
        shard_set.root, tracks, crop_frames=crop_frames, pairs=pairs, threads=threads or default_threads()
    )
    return ceiling.batches()
