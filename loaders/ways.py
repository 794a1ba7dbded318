"""The way to the shards of one data set: files in place, remote ranges, or a cache of whole shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clmr.errors import ConfigError
from loaders.cache.folder import charge
from loaders.cache.store import ShardCache, cache_root, default_limit
from loaders.cache.stream import StreamSource
from loaders.order.epochs import EpochOrder, Order
from loaders.order.windowed import WindowedOrder, default_window
from loaders.ranges.access import Extent
from loaders.ranges.access import choose as choose_access
from loaders.ranges.link import measure
from loaders.ranges.source import GAP, IN_FLIGHT, RangesSource
from loaders.reading.corpus import used_shards
from loaders.reading.files import ShardFiles
from loaders.reading.local import LocalSource
from loaders.reading.source import Source
from loaders.reading.threads import ReaderThreads
from loaders.settings import PairSettings
from sharding.format import SAMPLE_BYTES, ShardSet, Tracks

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


@dataclass(frozen=True, eq=False)
class Task:
    """What a loader is to read of one data set."""

    shard_set: ShardSet
    tracks: Tracks
    crop_frames: int
    rows: int
    """Of each global batch."""
    share: float
    """Of each global batch that the processes of this machine read."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of the shards, numbered as in ``tracks.shard_names``."""
        return used_shards(self.shard_set, self.tracks)[0]

    @property
    def charge(self) -> int:
        """Bytes of a cache that holds all of it."""
        return sum(map(charge, self.sizes))

    @property
    def extent(self) -> Extent:
        """The amounts of it."""
        crop_bytes = self.crop_frames * SAMPLE_BYTES
        track_bytes = float(self.tracks.frames.mean()) * SAMPLE_BYTES
        return Extent(
            tracks=len(self.tracks), track_bytes=track_bytes, crop_bytes=crop_bytes, shard_bytes=sum(self.sizes)
        )


def choose_ways(settings: PairSettings, backend: str, tasks: Sequence[Task]) -> list[Way]:
    """For each data set the way that was asked for, or the one that promises most.

    Args:
        settings: of the loader.
        backend: the one that was chosen; ``resident`` reads everything once, so nothing needs keeping.
        tasks: the data sets.
    """
    windows = settings.window if isinstance(settings.window, tuple) else (settings.window,) * len(tasks)
    ways: list[Way] = []
    taken = 0  # of the cache, by data sets that stream
    for task, window in zip(tasks, windows, strict=True):
        ways.append(_choose(settings, backend, task, window, taken))
        taken += task.charge if ways[-1].kind == "stream" else 0
    return ways


def _choose(settings: PairSettings, backend: str, task: Task, window: int | None, taken: int) -> Way:
    place, tracks = task.shard_set.place, task.tracks
    local, mixed = place.root is not None, _effective(window or 0, tracks)
    if settings.access == "files" and not local:
        raise ConfigError(f"{place.name} is no folder on this machine: use --access ranges or stream")
    if backend == "resident":
        return Way("files" if local else "ranges", mixed, "loaded once, whole")
    if local and settings.access != "stream":
        asked = ", of which ranges are read in any case" if settings.access == "ranges" else ""
        return Way("files", mixed, f"files, read in place{asked}")
    if window is None:
        window = default_window(tracks.song, tracks.shard, task.rows)
    if settings.access == "stream":
        return Way("stream", _effective(window, tracks), "stream, as asked for")
    link = measure(place, tracks.shard_names, task.sizes)
    if settings.access == "ranges":
        return Way("ranges", mixed, f"ranges, as asked for; the link does {link}", link.in_flight(), link.gap())
    at_once = WindowedOrder(tracks.song, tracks.shard, task.rows, settings.seed, window).working_set()
    access = choose_access(
        task.extent,
        link,
        epochs=settings.passes(len(tracks)),
        room=max(0, cache_limits(settings)[1] - taken),
        least_room=sum(charge(size) for size in sorted(task.sizes)[-at_once:]),
        share=task.share,
    )
    mixed = _effective(window, tracks) if access.kind == "stream" else mixed
    return Way(access.kind, mixed, f"{access.kind}: {access.reason}", link.in_flight(), link.gap())


def default_depth(ways: Sequence[Way], crops: int) -> int:
    """Batches in flight where the user does not say.

    Args:
        ways: of all data sets.
        crops: in a batch of this rank.
    """
    requests = max((way.in_flight for way in ways if way.kind == "ranges"), default=0)
    # While one batch is waited for, those behind it keep all requests under way.
    return DEPTH + -(-requests // crops)


def cache_limits(settings: PairSettings) -> tuple[Path, int]:
    """Folder of the cache for streaming, and most bytes it may hold."""
    root = Path(settings.cache).expanduser() if settings.cache is not None else cache_root(os.environ)
    limit = settings.cache_bytes if settings.cache_bytes is not None else default_limit(root)
    if limit < 1:
        raise ConfigError(f"the disk of the cache {root} is full: free space, or give another folder with --cache")
    return root, limit


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
    if way.kind != "stream":
        return open_in_place(shard_set, tracks, threads, in_flight=way.in_flight, gap=way.gap)
    assert isinstance(order, WindowedOrder)
    names, (sizes, hashes) = tracks.shard_names, used_shards(shard_set, tracks)
    cache, at_once = ShardCache(*cache_limits(settings)), order.working_set()
    return StreamSource(shard_set.place, names, sizes, hashes, cache=cache, threads=threads, at_once=at_once)


def open_in_place(
    shard_set: ShardSet, tracks: Tracks, threads: ReaderThreads, *, in_flight: int = IN_FLIGHT, gap: int = GAP
) -> Source:
    """A source that keeps nothing: of files on this machine, else of remote ranges (see :class:`Way` for their two)."""
    names, (sizes, _) = tracks.shard_names, used_shards(shard_set, tracks)
    if shard_set.place.root is None:
        return RangesSource(shard_set.place, names, sizes, in_flight=in_flight, gap=gap)
    return LocalSource(ShardFiles(shard_set.place.root, names, sizes), threads)
