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
from loaders.ranges import GAP, IN_FLIGHT, RangesSource
from loaders.settings import PairSettings
from loaders.source import Source
from loaders.stream import StreamSource
from loaders.threads import ReaderThreads
from loaders.windowed import WindowedOrder, default_window
from sharding.format import ShardSet, Tracks

DEPTH = 3  # batches in flight: one being read, one ready, one to absorb a slow read


@dataclass(frozen=True)
class Way:
    """How the bytes of a data set come."""

    kind: str
    """files, ranges or stream."""
    window: int
    """Shards among which tracks are mixed, 0 for all."""
    reason: str
    """What it is and why, for people."""
    in_flight: int = IN_FLIGHT
    """Ranges: requests under way at once."""
    gap: int = GAP
    """Ranges: most bytes between two crops of one request."""


def choose_ways(
    settings: PairSettings,
    backend: str,
    found: Sequence[tuple[ShardSet, Tracks]],
    parts: Sequence[int],
    crop_frames: int,
) -> list[Way]:
    """For each data set the way that was asked for, or the one that promises most.

    Args:
        settings: of the loader.
        backend: the one that was chosen; ``resident`` reads everything once, so nothing needs keeping.
        found: the data sets.
        parts: rows of each in a global batch.
        crop_frames: samples per crop.
    """
    windows = settings.window if isinstance(settings.window, tuple) else (settings.window,) * len(found)
    return [
        _choose(settings, backend, *one, part, window, crop_frames)
        for one, part, window in zip(found, parts, windows, strict=True)
    ]


def _choose(
    settings: PairSettings,
    backend: str,
    shard_set: ShardSet,
    tracks: Tracks,
    part: int,
    window: int | None,
    crop_frames: int,
) -> Way:
    local = shard_set.place.root is not None
    in_place = "files" if local else "ranges"
    if settings.access == "files" and not local:
        raise ConfigError(f"{shard_set.place.name} is no folder on this machine: use --access ranges or stream")
    if backend == "resident":
        return Way(in_place, _effective(window or 0, tracks), "loaded once, whole")
    if local and settings.access != "stream":
        return Way("files", _effective(window or 0, tracks), "files, read in place")
    if settings.access == "stream":
        if window is None:
            window = default_window(tracks.song, tracks.shard, part)
        return Way("stream", _effective(window, tracks), "stream, as asked for")
    return Way("ranges", _effective(window or 0, tracks), "ranges, as asked for")


def default_depth(ways: Sequence[Way], crops: int) -> int:
    """Batches in flight where the user does not say.

    Args:
        ways: of all data sets.
        crops: in a batch of this rank.
    """
    requests = max((way.in_flight for way in ways if way.kind == "ranges"), default=0)
    # While one batch is waited for, those behind it keep all requests under way.
    return DEPTH + -(-requests // crops)


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
    way: Way, shard_set: ShardSet, tracks: Tracks, order: Order, threads: ReaderThreads, settings: PairSettings
) -> Source:
    """The source of a data set's bytes; its shards are numbered as in ``tracks.shard_names``."""
    place, names = shard_set.place, tracks.shard_names
    sizes, hashes = used_shards(shard_set, tracks)
    if way.kind == "ranges":
        return RangesSource(place, names, sizes, in_flight=way.in_flight, gap=way.gap)
    if way.kind == "stream":
        assert isinstance(order, WindowedOrder)
        at_once = order.working_set()
        return StreamSource(place, names, sizes, hashes, cache=open_cache(settings), threads=threads, at_once=at_once)
    return LocalSource(ShardFiles(shard_set.root, names, sizes), threads)


def open_in_order(shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads) -> Source:
    """A source for whoever reads everything once, in order: nothing needs keeping, and neighbours share requests."""
    names, (sizes, _) = tracks.shard_names, used_shards(shard_set, tracks)
    if shard_set.place.root is None:
        return RangesSource(shard_set.place, names, sizes)
    return LocalSource(ShardFiles(shard_set.place.root, names, sizes), threads)
