"""The way to the shards of one data set: files in place, remote ranges, or a cache of whole shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clmr.errors import ConfigError
from loaders.cache import ShardCache, cache_root, default_limit
from loaders.corpus import used_shards
from loaders.files import ShardFiles
from loaders.local import LocalSource
from loaders.order import EpochOrder, Order
from loaders.ranges import RangesSource
from loaders.settings import PairSettings
from loaders.source import Source
from loaders.stream import StreamSource
from loaders.threads import ReaderThreads
from loaders.windowed import WindowedOrder, default_window
from sharding.format import ShardSet, Tracks


@dataclass(frozen=True)
class Way:
    """How the bytes of a data set come."""

    kind: str
    """files, ranges or stream."""
    window: int
    """Shards among which tracks are mixed, 0 for all."""
    reason: str
    """Why this way, for people."""


def choose_ways(
    settings: PairSettings, found: Sequence[tuple[ShardSet, Tracks]], parts: Sequence[int], crop_frames: int
) -> list[Way]:
    """For each data set the way that was asked for, or the one that promises most.

    Args:
        settings: of the loader.
        found: the data sets.
        parts: rows of each in a global batch.
        crop_frames: samples per crop.
    """
    windows = settings.window if isinstance(settings.window, tuple) else (settings.window,) * len(found)
    return [
        _choose(settings, *one, part, window, crop_frames)
        for one, part, window in zip(found, parts, windows, strict=True)
    ]


def _choose(
    settings: PairSettings, shard_set: ShardSet, tracks: Tracks, part: int, window: int | None, crop_frames: int
) -> Way:
    local = shard_set.place.root is not None
    if local and settings.access != "stream":
        return Way("files", _effective(window or 0, tracks), "read in place")
    if settings.access == "files":
        raise ConfigError(f"{shard_set.place.name} is no folder on this machine: use --access ranges or stream")
    if settings.access == "stream":
        if window is None:
            window = default_window(tracks.song, tracks.shard, part)
        return Way("stream", _effective(window, tracks), "as asked for")
    return Way("ranges", _effective(window or 0, tracks), "as asked for")


def open_cache(settings: PairSettings) -> ShardCache:
    """The cache for streaming."""
    root = Path(settings.cache).expanduser() if settings.cache is not None else cache_root(os.environ)
    return ShardCache(root, settings.cache_bytes if settings.cache_bytes is not None else default_limit(root))


def _effective(window: int, tracks: Tracks) -> int:
    """0 for a window in which all shards meet."""
    return window if window and len(tracks.shard_names) // window > 1 else 0


def make_order(way: Way, tracks: Tracks, batch_size: int, seed: int) -> Order:
    """The order of a data set's tracks."""
    if way.window or way.kind == "stream":
        window = way.window or len(tracks.shard_names)
        return WindowedOrder(tracks.song, tracks.shard, batch_size, seed, window)
    return EpochOrder(tracks.song, batch_size, seed)


def open_source(
    way: Way, shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads, settings: PairSettings, order: Order
) -> Source:
    """The source of a data set's bytes; its shards are numbered as in ``tracks.shard_names``."""
    if way.kind != "stream":
        return open_in_place(shard_set, tracks, threads)
    assert isinstance(order, WindowedOrder)
    names, (sizes, hashes) = tracks.shard_names, used_shards(shard_set, tracks)
    cache, at_once = open_cache(settings), order.working_set()
    return StreamSource(shard_set.place, names, sizes, hashes, cache=cache, threads=threads, at_once=at_once)


def open_in_place(shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads) -> Source:
    """A source that keeps nothing: files where they are, or ranges of remote shards."""
    names, (sizes, _) = tracks.shard_names, used_shards(shard_set, tracks)
    if shard_set.place.root is None:
        return RangesSource(shard_set.place, names, sizes)
    return LocalSource(ShardFiles(shard_set.place.root, names, sizes), threads)
