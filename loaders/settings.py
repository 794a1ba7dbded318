"""What a loader of crop pairs is asked for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from clmr.errors import ConfigError

BACKENDS = ("auto", "torch", "dali", "resident", "webdataset")
ACCESSES = ("auto", "files", "ranges", "stream")


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Settings of a :class:`loaders.PairLoader`, the same on every rank. See docs/loader.md."""

    shards: tuple[tuple[str, float], ...]
    """Folders of shards, by path or URL, each with its weight: its share of every batch is weight / sum of weights."""
    batch_size: int
    """Rows of a GLOBAL batch."""
    sample_rate: int | None = None
    """Hz the shards must have; None takes what they have."""
    crop_frames: int | None = None
    """Samples per crop; None takes the encoder's for the sample rate."""
    seed: int = 0
    """Of order, crops and draw keys."""
    splits: tuple[str, ...] = ("train",)
    """Which tracks to use."""
    backend: str = "auto"
    """Who brings crops to the device: torch, dali, resident (all of it in the device's memory), or webdataset, which
    reads shards from front to back, without an index and in an order of its own."""
    access: str = "auto"
    """How shards are read: files (in place), ranges (of remote shards only the crops) or stream (whole shards, through
    a cache on a local disk)."""
    window: int | tuple[int, ...] | None = None
    """Shards among which tracks are mixed, 0 for all of them; one number, or one for each data set. None: a default
    where shards are streamed, else 0. It decides the order, so it has to stay the same when a run is resumed."""
    cache: str | None = None
    """Folder of the cache for streaming; None: $CLMR_CACHE or ~/.cache/clmr/shards."""
    cache_bytes: int | None = None
    """Most bytes the cache may hold; None: 80 % of what is free."""
    epochs: float | None = None
    """Passes that are planned, where known: reading a shard once and keeping it pays with many."""
    steps: int | None = None
    """Batches that are planned, instead of ``epochs``."""
    pairs_per_read: int = 1
    """Consecutive batches made of the same tracks, each with new crops, whose reads are joined."""
    quiet_db: float | None = None
    """Avoid crops this many dB quieter than the track; None takes every crop alike."""
    shuffle: int | None = None
    """webdataset: pairs that wait in memory and are mixed; None: 2000, which are 472 MB at 22,050 Hz."""
    threads: int | None = None
    """Reading threads; None takes the cores available, at most 4."""
    depth: int | None = None
    """Batches read ahead; None: 3, more where the storage is far."""

    def passes(self, tracks: int) -> float | None:
        """Planned passes over so many tracks, one pair of each per pass; None where nobody says."""
        if self.epochs is not None:
            return self.epochs * self.pairs_per_read
        return self.steps * self.batch_size / tracks if self.steps is not None else None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        names = [name.rstrip("/") for name, _ in self.shards]
        windows = self.window if isinstance(self.window, tuple) else (self.window or 0,) * len(self.shards)
        quiet = self.quiet_db
        for refused, reason in (
            (not names, "no shards are given: name at least one folder of shards"),
            (len(set(names)) < len(names), "a folder of shards is named twice: a track could meet itself in a batch"),
            (self.batch_size < 1, f"batch size is {self.batch_size}: at least 1 pair is needed"),
            (self.backend not in BACKENDS, f"backend {self.backend!r} is not known; one of {', '.join(BACKENDS)}"),
            (self.access not in ACCESSES, f"access {self.access!r} is not known; one of {', '.join(ACCESSES)}"),
            (_below(self.depth, 1), f"depth is {self.depth}: at least 1 batch must be in flight"),
            (self.pairs_per_read < 1, f"pairs per read is {self.pairs_per_read}: at least 1 pair comes of a read"),
            (
                len(windows) != len(names) or min(windows, default=0) < 0,
                f"window is {self.window}: 0 for all shards, or more, one for each data set",
            ),
            (_below(self.cache_bytes, 1), f"the cache may hold {self.cache_bytes} bytes: give it room for some shards"),
            (_below(self.shuffle, 1), f"shuffle is {self.shuffle}: at least 1 pair has to wait"),
            (
                self.shuffle is not None and self.backend != "webdataset",
                "shuffle belongs to the webdataset backend; all others mix all tracks, or those of a window of shards",
            ),
            (
                quiet is not None and not (math.isfinite(quiet) and quiet > 0),
                f"quiet_db is {quiet}: it is a number of dB above 0, such as 30",
            ),
        ):
            if refused:
                raise ConfigError(reason)


def _below(number: int | None, least: int) -> bool:
    return number is not None and number < least


def parse_size(text: str) -> int:
    """Bytes in a size such as ``200GiB``, ``500GB`` or a plain number.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(f"{text!r} is no size: give bytes, or a number with GB, GiB, TB ..., such as 200GiB")
    number, prefix, binary = found.groups()
    factor = (1024 if binary else 1000) ** (" KMGT".index(prefix.upper()) if prefix else 0)
    return int(float(number) * factor)
