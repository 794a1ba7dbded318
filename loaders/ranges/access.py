"""Ranges or stream: which way to remote shards takes less time, by arithmetic.

By *ranges* every pair costs its two crops, in every epoch. By *stream* the first epoch costs all bytes of all shards;
the later ones cost reads from a disk where the cache holds everything, and all bytes again where it does not. Long
tracks make whole shards dear, many epochs spread their cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from loaders.ranges.link import Link

EPOCHS = 10
"""Assumed where nobody says how long a run will be."""
DISK_BYTES_PER_SECOND = 3e9
"""Crops from a local NVMe."""


@dataclass(frozen=True)
class Access:
    """A way to remote shards."""

    kind: str
    """ranges or stream."""
    reason: str
    """Why, in one line with numbers."""
    ranges_seconds: float
    """What reading alone is predicted to take by ranges, for the whole run."""
    stream_seconds: float
    """The same for streaming; infinite where the cache has no room."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What is to be read."""

    tracks: int
    track_bytes: float
    """Mean length of a track, at least one crop."""
    crop_bytes: int
    shard_bytes: int
    """Of all shards in use."""


def choose(
    extent: Extent, link: Link, *, epochs: float | None, room: int, least_room: int, share: float = 1.0
) -> Access:
    """The way to a data set that takes less time for the whole run.

    Args:
        extent: what is to be read.
        link: to where it is.
        epochs: that are planned; None: nobody knows.
        room: bytes the cache may hold.
        least_room: bytes it has to hold for a stream to flow.
        share: part of every batch that this machine reads; it streams all shards however small that part is.
    """
    planned = EPOCHS if epochs is None else epochs
    pairs = share * extent.tracks
    by_ranges = pairs * pair_seconds(extent, link)
    fetched = extent.shard_bytes / link.bytes_per_second
    from_disk = pairs * 2 * extent.crop_bytes / DISK_BYTES_PER_SECOND
    first = max(fetched, from_disk)
    later = from_disk if room >= extent.shard_bytes else first
    ranges = planned * by_ranges
    # Part of an epoch fetches part of the shards.
    stream = min(planned, 1.0) * first + max(planned - 1.0, 0.0) * later if room >= least_room else math.inf
    kind = "stream" if stream < ranges else "ranges"
    return Access(kind, _reason(extent, link, epochs, room, least_room, ranges, stream), ranges, stream)


def pair_seconds(extent: Extent, link: Link) -> float:
    """Seconds of the link that a pair costs by ranges, on average.

    With R requests and B bytes per second, two crops of c bytes whose starts lie d apart cost one request for c + d
    bytes, 1/R + (c + d)/B, or two for c each, 2/R + 2 c/B; the cheaper is 1/R + (c + min(d, x))/B with x = c + B/R. The
    starts are uniform on [0, D], D = track - crop, so P(d > t) = (1 - t/D)^2, and the mean of min(d, x) is its integral
    from 0 to x: D/3 (1 - (1 - x/D)^3) for x < D, and D/3 from there on.
    """
    apart = max(extent.track_bytes - extent.crop_bytes, 0.0)
    joined = extent.crop_bytes + link.bytes_per_second / link.requests_per_second
    between = apart / 3 * (1 - (1 - min(joined / apart, 1.0)) ** 3) if apart else 0.0
    return 1 / link.requests_per_second + (extent.crop_bytes + between) / link.bytes_per_second


def _reason(
    extent: Extent, link: Link, epochs: float | None, room: int, least_room: int, ranges: float, stream: float
) -> str:
    if math.isinf(stream):
        told = f"streaming needs {_bytes(least_room)} of cache, and there are {_bytes(room)}"
    else:
        run = f"{EPOCHS} epochs (it is not known how many there will be)" if epochs is None else f"{epochs:g} epochs"
        held = "fit the cache" if room >= extent.shard_bytes else f"do not fit the cache of {_bytes(room)}"
        shards = f"{_bytes(extent.shard_bytes)} of shards {held}"
        told = f"reading {run} takes {_time(ranges)} by ranges, {_time(stream)} by stream; {shards}"
    crops = extent.track_bytes / extent.crop_bytes
    return f"{told}; a track is as long as {crops:.1f} crops, the link does {link}"


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"
