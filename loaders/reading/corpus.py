"""The tracks of one data set that a loader uses, checked before the first read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clmr import encoder
from clmr.errors import ConfigError, ShardError
from loaders.reading.source import Source
from sharding.format import SAMPLE_BYTES, Manifest, ShardSet, Tracks


def crop_length(sample_rate: int, crop_frames: int | None) -> int:
    """``crop_frames``, or the encoder's crop for the rate."""
    if crop_frames is None:
        return encoder.crop_frames(sample_rate)
    if crop_frames < 1:
        raise ConfigError(f"crop length is {crop_frames} samples: at least 1 is needed")
    return crop_frames


def check_sample_rate(manifest: Manifest, sample_rate: int | None, name: str) -> int:
    """The sample rate of the shards ``name``, which must be ``sample_rate`` where one is asked for."""
    found = manifest.sample_rate
    if sample_rate is not None and sample_rate != found:
        raise ConfigError(f"{name} holds {found} Hz, not {sample_rate} Hz: build shards at {sample_rate} Hz")
    return found


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tracks, and where their samples are read."""

    shard_set: ShardSet
    tracks: Tracks
    source: Source
    """Its shards are numbered as in ``tracks.shard_names``."""


def used_shards(shard_set: ShardSet, tracks: Tracks) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Bytes and SHA-256 of every shard in ``tracks.shard_names``."""
    shards = {shard.name: shard for shard in shard_set.manifest.shards}
    used = [shards[name] for name in tracks.shard_names]
    return tuple(shard.bytes for shard in used), tuple(shard.sha256 for shard in used)


def check_tracks(shard_set: ShardSet, tracks: Tracks, crop_frames: int) -> None:
    """Make sure that a crop fits everywhere.

    Raises:
        ShardError: a track is shorter than the crop or reaches beyond its shard.
    """

    def name(track: int) -> str:
        shard = shard_set.place.address(tracks.shard_names[tracks.shard[track]])
        return f"track {tracks.table['key'][track].as_py()} of {shard}"

    sizes = np.array(used_shards(shard_set, tracks)[0], dtype=np.int64)
    short = np.flatnonzero(tracks.frames < crop_frames)
    if len(short):
        first = int(short[0])
        raise ShardError(
            f"{name(first)} has {tracks.frames[first]} samples, fewer than the crop of {crop_frames} "
            f"({len(short)} such tracks): build the shards with this crop as the shortest track"
        )
    outside = np.flatnonzero(
        (tracks.pcm_offset < 0) | (tracks.pcm_offset + tracks.frames * SAMPLE_BYTES > sizes[tracks.shard])
    )
    if len(outside):
        raise ShardError(
            f"{name(int(outside[0]))} reaches beyond the end of its shard ({len(outside)} such tracks): "
            "index.parquet does not fit the shards; build them again"
        )


def hash_tracks(shard_set: ShardSet, tracks: Tracks) -> str:
    """16 hex digits over everything that order, crops and samples follow from."""
    state = hashlib.blake2b(digest_size=8)
    for name, sha256 in zip(tracks.shard_names, used_shards(shard_set, tracks)[1], strict=True):
        state.update(f"{name} {sha256}\n".encode())
    for column in (tracks.shard, tracks.pcm_offset, tracks.frames, tracks.song, tracks.row):
        state.update(np.ascontiguousarray(column).tobytes())
    return state.hexdigest()


def total_tracks(corpora: Sequence[Corpus]) -> int:
    """Tracks of all data sets."""
    return sum(len(corpus.tracks) for corpus in corpora)
