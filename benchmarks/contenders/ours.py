"""PairLoader, and the copying of memory that no loader can be faster than."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from loaders import PairLoader
from loaders.reading.threads import default_threads
from loaders.saturation.ceiling import CopyCeiling
from sharding.format import open_shards


def pairloader(shards: str, pairs: int, **options: Any) -> Iterator[Tensor]:
    """PairLoader with its defaults; every batch is dropped at once."""
    with PairLoader(shards, batch_size=pairs, **options) as loader:
        while True:
            yield from (batch.pcm for batch in loader)


def batch_sizes(shards: str, pairs: int, **options: Any) -> Iterator[int]:
    """PairLoader with its defaults, on shards whose samples say nothing."""
    return map(len, pairloader(shards, pairs, **options))


def one_epoch(shards: str, pairs: int, **options: Any) -> Callable[[], float]:
    """PairLoader(access="stream") with an empty cache, for an epoch.

    Every batch is dropped at once; opening is left out. MB/s of shards, which all have to come.
    """
    size = sum(shard.bytes for shard in open_shards(shards).manifest.shards)

    def run() -> float:
        folder = tempfile.mkdtemp(prefix="clmr-bench-cache-")
        try:
            with PairLoader(shards, batch_size=pairs, access="stream", cache=folder, **options) as loader:
                begin = time.perf_counter()
                assert sum(len(batch.pcm) for batch in loader) == pairs * len(loader)
                return size / (time.perf_counter() - begin) / 1e6
        finally:
            shutil.rmtree(folder)

    return run


def memory_copy(shards: str, pairs: int, crop_frames: int, threads: int | None = None) -> Iterator[int]:
    """Crops copied from PCM in memory into batches that are there already; no order, no draws, no files."""
    shard_set = open_shards(shards)
    tracks = shard_set.tracks(("train",))
    ceiling = CopyCeiling(
        shard_set.root, tracks, crop_frames=crop_frames, pairs=pairs, threads=threads or default_threads()
    )
    try:
        yield from ceiling.batches()
    finally:
        ceiling.close()
