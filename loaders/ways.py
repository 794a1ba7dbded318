"""The way to the shards of one data set: files in place, remote ranges, or a cache of whole shards."""

from __future__ import annotations

from dataclasses import dataclass

from clmr.errors import ConfigError
from loaders.corpus import used_shards
from loaders.files import ShardFiles
from loaders.local import LocalSource
from loaders.order import EpochOrder
from loaders.settings import PairSettings
from loaders.source import Source
from loaders.threads import ReaderThreads
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


def choose_way(shard_set: ShardSet, tracks: Tracks, settings: PairSettings, crop_frames: int) -> Way:
    """The way that was asked for, or the one that promises most."""
    window = settings.window or 0
    if shard_set.place.root is not None and settings.access != "stream":
        return Way("files", window, "files are read in place")
    raise ConfigError(f"{shard_set.place.name}: remote shards are not read yet")


def make_order(way: Way, tracks: Tracks, batch_size: int, seed: int) -> EpochOrder:
    """The order of a data set's tracks."""
    return EpochOrder(tracks.song, batch_size, seed)


def open_source(way: Way, shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads) -> Source:
    """The source of a data set's bytes; its shards are numbered as in ``tracks.shard_names``."""
    sizes, _ = used_shards(shard_set, tracks)
    return LocalSource(ShardFiles(shard_set.root, tracks.shard_names, sizes), threads)
