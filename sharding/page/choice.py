"""Which tracks are shown: a seeded draw of different songs from every split."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sharding.format import SPLITS, WRITTEN, ShardSet

COLUMNS = ["key", "split", "shard", "pcm_offset", "frames", "song_id", "labels", "source", "peak", "clipped"]


@dataclass(frozen=True)
class Track:
    """One row of the index that is shown; the fields are those of ``INDEX_SCHEMA``."""

    key: str
    split: str
    shard: str
    pcm_offset: int
    frames: int
    song_id: str
    labels: list[str]
    source: str
    peak: int
    clipped: int


def choose_tracks(shard_set: ShardSet, number: int, seed: int) -> list[Track]:
    """Draw written tracks, no two of one song, as evenly from the splits as their songs allow.

    Args:
        shard_set: the shards.
        number: how many; fewer come where there are fewer songs.
        seed: 0 or more; the same seed gives the same tracks.

    Returns:
        Split after split, and in a split in the order of the draw.
    """
    index = shard_set.index
    rows = np.flatnonzero(pc.equal(index["status"], WRITTEN).to_numpy(zero_copy_only=False))
    drawn = np.random.default_rng(seed).permutation(rows)
    songs = index["song_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(songs[drawn], return_index=True)
    one_per_song = drawn[np.sort(first)]
    splits = index["split"].combine_chunks()
    of_split = [
        one_per_song[pc.equal(splits.take(one_per_song), split).to_numpy(zero_copy_only=False)][:number].tolist()
        for split in SPLITS
    ]
    in_turn = [row for row in chain.from_iterable(zip_longest(*of_split)) if row is not None][:number]
    chosen: list[dict[str, Any]] = index.select(COLUMNS).take(pa.array(in_turn, pa.int64())).to_pylist()
    return sorted((Track(**row) for row in chosen), key=lambda track: SPLITS.index(track.split))
