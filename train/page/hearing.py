"""What is heard of the tracks of a feature dump: ten seconds each, read from the shards they were embedded from."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from clmr.errors import ClmrError, ShardError
from sharding.format import SAMPLE_BYTES, WRITTEN, ShardSet, open_shards
from sharding.page.choice import COLUMNS, Track
from sharding.page.excerpt import encode_mp3, read_excerpt

SECONDS = 10


@dataclass(frozen=True)
class Heard:
    """One track."""

    source: str
    """The recording's name, as the shards have it."""
    audio: str
    """Data URL of an MP3."""
    begin: float
    """Seconds of the track at which the excerpt begins."""
    seconds: float


@dataclass(frozen=True)
class Listening:
    """What could be heard, and else why not."""

    heard: dict[str, Heard]
    """By key."""
    trouble: str | None = None


def listen(shards: str | None, keys: Iterable[str], sample_rate: int) -> Listening:
    """Read the excerpts of these tracks; shards that are gone, or are others, are said to be so."""
    if shards is None:
        return Listening({}, "the features are of audio files, not of shards")
    wanted = sorted(set(keys))
    try:
        shard_set = open_shards(shards)
        if shard_set.manifest.sample_rate != sample_rate:
            raise ShardError(f"{shards} are of {shard_set.manifest.sample_rate} Hz, the features of {sample_rate} Hz")
        tracks = _find(shard_set, wanted)
        return Listening({track.key: _hear(shard_set, track) for track in tracks})
    except ClmrError as error:
        return Listening({}, str(error))
    except OSError as error:
        return Listening({}, f"{error.filename or shards}: {error.strerror or error}")


def _find(shard_set: ShardSet, wanted: list[str]) -> list[Track]:
    index = shard_set.index
    named = np.isin(np.array(index["key"].to_pylist(), dtype=np.str_), wanted)
    rows = np.flatnonzero(named & (np.array(index["status"].to_pylist(), dtype=np.str_) == WRITTEN))
    tracks = [Track(**row) for row in index.at(rows).select(COLUMNS).to_pylist()]
    lacking = sorted(set(wanted) - {track.key for track in tracks})
    if lacking:
        raise ShardError(f"{shard_set.place.name} has no track {lacking[0]}: these are other shards than were embedded")
    return tracks


def _hear(shard_set: ShardSet, track: Track) -> Heard:
    """The middle of a track."""
    rate = shard_set.manifest.sample_rate
    frames = min(track.frames, SECONDS * rate)
    start = (track.frames - frames) // 2
    middle = replace(track, pcm_offset=track.pcm_offset + SAMPLE_BYTES * start, frames=frames)
    audio = encode_mp3(read_excerpt(shard_set.place, middle, rate).pcm, rate)
    address = f"data:audio/mpeg;base64,{base64.b64encode(audio).decode()}"
    return Heard(track.source, address, start / rate, frames / rate)
