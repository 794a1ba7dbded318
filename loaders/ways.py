"""The way to the shards of one data set: files in place, remote ranges, or a cache of whole shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clmr.errors import ConfigError
from loaders.corpus import used_shards
from loaders.files import ShardFiles
from loaders.local import LocalSource
from loaders.order import EpochOrder, Order
from loaders.ranges import RangesSource
from loaders.settings import PairSettings
from loaders.source import Source
from loaders.threads import ReaderThreads
from loaders.windowed import WindowedOrder
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


def choose_ways(settings: PairSettings, found: Sequence[tuple[ShardSet, Tracks]], crop_frames: int) -> list[Way]:
    """For each data set the way that was asked for, or the one that promises most."""
    windows = settings.window if isinstance(settings.window, tuple) else (settings.window,) * len(found)
    return [_choose(settings, *one, window, crop_frames) for one, window in zip(found, windows, strict=True)]


def _choose(settings: PairSettings, shard_set: ShardSet, tracks: Tracks, window: int | None, crop_frames: int) -> Way:
    local = shard_set.place.root is not None
    if local and settings.access != "stream":
        return Way("files", window or 0, "files read in place")
    if settings.access == "files":
        raise ConfigError(f"{shard_set.place.name} is no folder on this machine: use --access ranges or stream")
    return Way("ranges", window or 0, "ranges, as asked for")


def make_order(way: Way, tracks: Tracks, batch_size: int, seed: int) -> Order:
    """The order of a data set's tracks."""
    if way.window:
        return WindowedOrder(tracks.song, tracks.shard, batch_size, seed, way.window)
    return EpochOrder(tracks.song, batch_size, seed)


def open_source(way: Way, shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads) -> Source:
    """The source of a data set's bytes; its shards are numbered as in ``tracks.shard_names``."""
    sizes, _ = used_shards(shard_set, tracks)
    if way.kind == "ranges":
        return RangesSource(shard_set.place, tracks.shard_names, sizes)
    return LocalSource(ShardFiles(shard_set.root, tracks.shard_names, sizes), threads)
