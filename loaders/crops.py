"""Crop before read: only the samples of the crops leave the disk, straight into the batch.

A 59,049-sample crop is 118,098 bytes of its shard, found by arithmetic: ``pcm_offset + 2 * start``. Threads read
them straight into the batch, many crops by one system call; a crop that fails is read once more alone, which says why.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np

from clmr import encoder
from clmr.errors import ConfigError, ShardError
from loaders.aio import AT_MOST, read_together
from loaders.files import ShardFiles
from loaders.order import Integers
from loaders.slabs import Slab
from loaders.threads import ReaderThreads
from sharding.format import SAMPLE_BYTES, ShardSet, Tracks


def crop_length(sample_rate: int, crop_frames: int | None) -> int:
    """``crop_frames``, or the encoder's crop for the rate."""
    if crop_frames is None:
        return encoder.crop_frames(sample_rate)
    if crop_frames < 1:
        raise ConfigError(f"crop length is {crop_frames} samples: at least 1 is needed")
    return crop_frames


def check_sample_rate(shard_set: ShardSet, sample_rate: int | None) -> int:
    """The shards' sample rate, which must be ``sample_rate`` where one is asked for."""
    found = shard_set.manifest.sample_rate
    if sample_rate is not None and sample_rate != found:
        raise ConfigError(f"{shard_set.root} holds {found} Hz, not {sample_rate} Hz: build shards at {sample_rate} Hz")
    return found


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of one batch."""

    tracks: Integers
    """Positions in :class:`Tracks`, shape ``[b]``."""
    starts: Integers
    """First sample of each crop, shape ``[b, views]``."""


class CropReader:
    """Reads crops of fixed length from the tracks of a shard set.

    Raises:
        ShardError: a track is shorter than the crop or reaches beyond its shard.
    """

    def __init__(self, shard_set: ShardSet, tracks: Tracks, crop_frames: int) -> None:
        sizes = {shard.name: shard.bytes for shard in shard_set.manifest.shards}
        self.tracks = tracks
        self.crop_frames = crop_frames
        self.files = ShardFiles(shard_set.root, tracks.shard_names, tuple(sizes[name] for name in tracks.shard_names))
        self._check_lengths(np.array(self.files.sizes, dtype=np.int64))

    def _check_lengths(self, sizes: Integers) -> None:
        tracks = self.tracks
        short = np.flatnonzero(tracks.frames < self.crop_frames)
        if len(short):
            first = int(short[0])
            raise ShardError(
                f"{self._name(first)} has {tracks.frames[first]} samples, fewer than the crop of {self.crop_frames} "
                f"({len(short)} such tracks): build the shards with this crop as the shortest track"
            )
        outside = np.flatnonzero(
            (tracks.pcm_offset < 0) | (tracks.pcm_offset + tracks.frames * SAMPLE_BYTES > sizes[tracks.shard])
        )
        if len(outside):
            raise ShardError(
                f"{self._name(int(outside[0]))} reaches beyond the end of its shard ({len(outside)} such tracks): "
                "index.parquet does not fit the shards; build them again"
            )

    def _name(self, track: int) -> str:
        path = self.files.root / self.tracks.shard_names[self.tracks.shard[track]]
        return f"track {self.tracks.table['key'][track].as_py()} of {path}"

    def submit(self, crops: Crops, slab: Slab, threads: ReaderThreads) -> list[Future[None]]:
        """Have the threads fill the slab's first ``b`` rows, each an equal part of the crops."""
        tracks = np.repeat(crops.tracks, crops.starts.shape[1])
        shards = self.tracks.shard[tracks].tolist()
        offsets = (self.tracks.pcm_offset[tracks] + SAMPLE_BYTES * crops.starts.reshape(-1)).tolist()
        parts = min(threads.count, len(shards))
        bounds = [len(shards) * part // parts for part in range(parts + 1)]
        return [
            threads.submit(partial(self._read, slab, shards, offsets, range(*bounds[part : part + 2])))
            for part in range(parts)
        ]

    def _read(self, slab: Slab, shards: list[int], offsets: list[int], crops: range) -> None:
        size = self.crop_frames * SAMPLE_BYTES
        for begin in range(crops.start, crops.stop, AT_MOST):
            some = range(begin, min(begin + AT_MOST, crops.stop))
            opened = [self.files[shards[crop]] for crop in some]  # kept open until they are read
            descriptors = [shard.descriptor for shard in opened]
            failed = read_together(descriptors, offsets[some.start : some.stop], slab.address + begin * size, size)
            for number in failed:
                opened[number].read_into(slab.crops[begin + number], offsets[begin + number])
