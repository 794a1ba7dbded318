"""Shard format, version 1: what lies on disk, and the reader everything else uses.

    <shards>/manifest.json               written last: version, sample rate, vocabulary, shards with hashes, totals
    <shards>/index.parquet               one row per track ATTEMPTED, written or skipped, in the order of the shards
    <shards>/<split>/000000.tar          USTAR; members KEY.wav (44-byte header, mono int16 little-endian) and KEY.json
    <shards>/<split>/000000.idx          DALI index v1.2, byte-identical to what wds2idx prints for the tar
    <shards>/<split>/000000.parquet      the receipt: the shard's rows of index.parquet, written last

A sample has an address: byte ``pcm_offset + 2 * n`` of its shard holds sample ``n`` of the track. Everyone else's tools
read the same files: tar, soundfile, stock webdataset, stock DALI, pandas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clmr.errors import ConfigError, ShardError
from sharding.index import INDEX_SCHEMA, Index, open_index, read_index
from sharding.levels import SILENCE, level_counts, level_frames
from sharding.manifest import FORMAT_VERSION, Manifest, ShardInfo, read_manifest
from sharding.storage import Place, place_at

__all__ = [
    "FORMAT_VERSION",
    "INDEX_SCHEMA",
    "KEY_PATTERN",
    "SAMPLE_BYTES",
    "SILENCE",
    "SKIPPED",
    "SPLITS",
    "TAR_BLOCK_BYTES",
    "WAV_HEADER_BYTES",
    "WRITTEN",
    "Index",
    "Manifest",
    "ShardInfo",
    "ShardSet",
    "Tracks",
    "check_splits",
    "label_matrix",
    "level_counts",
    "level_frames",
    "open_shards",
    "read_index",
    "read_manifest",
]

SPLITS = ("train", "valid", "test")
SAMPLE_BYTES = 2
WAV_HEADER_BYTES = 44
TAR_BLOCK_BYTES = 512
KEY_PATTERN = re.compile(r"[0-9a-z_-]{1,64}")  # a dot in the stem makes stock tools merge samples silently

WRITTEN, SKIPPED = "written", "skipped"


@dataclass(frozen=True, eq=False)
class Tracks:
    """The written tracks of some splits as flat arrays: no Python object per track. All arrays have shape ``[N]``."""

    shard_names: tuple[str, ...]
    """Path below the root of every shard that holds one of these tracks."""
    shard: npt.NDArray[np.int32]
    """Index into ``shard_names``."""
    pcm_offset: npt.NDArray[np.int64]
    """Byte of the track's first sample in its shard."""
    frames: npt.NDArray[np.int64]
    """Length in samples."""
    song: npt.NDArray[np.int64]
    """Dense song number, 0 .. songs - 1, in order of first appearance."""
    row: npt.NDArray[np.int64]
    """Row of ``index.parquet``: the track's number wherever it is drawn or named."""
    table: Index = field(repr=False)
    """The same rows of ``index.parquet``, for keys, labels and splits, read where they are asked for."""

    def __len__(self) -> int:
        return len(self.frames)


def check_splits(splits: Sequence[str]) -> None:
    """Refuse a name that is no split's.

    Raises:
        ConfigError: which one it is, and what there is.
    """
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"{split!r} is no split; one of {', '.join(SPLITS)}")


def label_matrix(labels: pa.ChunkedArray, vocabulary: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Multi-hot labels, bool ``[N, len(vocabulary)]``, of a column of label lists.

    Raises:
        ShardError: a label is not in the vocabulary.
    """
    column = labels.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    codes = pc.index_in(column.flatten(), value_set=pa.array(vocabulary, pa.string()))
    if codes.null_count:
        unknown = sorted(set(column.flatten().to_pylist()) - set(vocabulary))
        raise ShardError(f"labels that are not in the vocabulary: {', '.join(unknown[:5])}")
    matrix = np.zeros((len(column), len(vocabulary)), dtype=np.bool_)
    matrix[np.repeat(np.arange(len(column)), lengths), codes.to_numpy(zero_copy_only=False).astype(np.int64)] = True
    return matrix


@dataclass(frozen=True, eq=False)
class ShardSet:
    """A folder of shards, opened: the manifest and the index."""

    place: Place
    manifest: Manifest
    index: Index
    """All rows; every column is read where it is asked for."""

    @property
    def root(self) -> Path:
        """The folder, for those who need it on a file system.

        Raises:
            ConfigError: it is in a bucket or on a web server.
        """
        if self.place.root is None:
            raise ConfigError(f"{self.place.name}: a folder on a disk is needed here; copy the shards to one")
        return self.place.root

    def tracks(self, splits: Sequence[str] = SPLITS) -> Tracks:
        """The written tracks of ``splits``, in index order.

        Raises:
            ConfigError: a split these shards do not have.
            ShardError: the splits hold no track, or a shard's size is not the manifest's.
        """
        present = [split for split, infos in self.manifest.splits.items() if infos]
        check_splits(splits)
        stands = self.index.select(["split", "status"])
        in_splits = pc.is_in(stands["split"], pa.array(splits, pa.string()))
        wanted = pc.and_(pc.equal(stands["status"], WRITTEN), in_splits)
        row = np.flatnonzero(wanted.to_numpy(zero_copy_only=False)).astype(np.int64)
        if not len(row):
            raise ShardError(
                f"{self.place.name} has no tracks in {', '.join(splits)}; it has {', '.join(present) or 'none'}"
            )
        tracks = _read_tracks(self.index.at(row), row)
        self._check_sizes(tracks.shard_names)
        return tracks

    def _check_sizes(self, names: Sequence[str]) -> None:
        expected = {shard.name: shard.bytes for shard in self.manifest.shards}
        sizes = self.place.sizes(names)
        for name in names:
            path = self.place.address(name)
            if name not in expected:
                raise ShardError(f"index.parquet names {path}, manifest.json does not: run `python -m sharding verify`")
            if name not in sizes:
                raise ShardError(f"{path} is missing; run `python -m sharding build` again")
            if sizes[name] != expected[name]:
                raise ShardError(f"{path} has {sizes[name]} bytes, not {expected[name]}: copy or build it again")


def _read_tracks(table: Index, row: npt.NDArray[np.int64]) -> Tracks:
    """The tracks of these rows, which are all written; batch by batch, so that little else is in memory beside them."""
    shard, pcm_offset, frames = np.empty(len(row), np.int32), np.empty_like(row), np.empty_like(row)
    numbers: dict[str, int] = {}
    song_ids = []
    done = 0
    for batch in table.batches(["shard", "pcm_offset", "frames", "song_id"]):
        here = slice(done, done + len(batch))
        encoded = batch["shard"].dictionary_encode()
        codes = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
        shard[here] = np.array(codes, np.int32)[encoded.indices]
        pcm_offset[here], frames[here] = batch["pcm_offset"], batch["frames"]
        song_ids.append(batch["song_id"])
        done += len(batch)
    pa.default_memory_pool().release_unused()  # encoding takes the most memory of all
    songs = pa.chunked_array(song_ids).dictionary_encode()
    song = np.concatenate([part.indices for part in songs.chunks]).astype(np.int64)
    del songs, song_ids
    pa.default_memory_pool().release_unused()
    return Tracks(tuple(numbers), shard, pcm_offset, frames, song, row, table)


def open_shards(shards: str | os.PathLike[str] | Place) -> ShardSet:
    """Open a folder of shards, by path or URL: the one reader of the format.

    Raises:
        ShardError: no manifest, a damaged one, another version, or totals that do not fit the index.
    """
    place = place_at(shards)
    manifest = read_manifest(place)
    index = open_index(place, "index.parquet")
    written = pc.sum(pc.equal(index.select(["status"])["status"], WRITTEN)).as_py() or 0
    if (index.num_rows, written) != (manifest.attempted, manifest.written):
        raise ShardError(
            f"{place.address('index.parquet')} has {written} of {index.num_rows} tracks written, manifest.json says "
            f"{manifest.written} of {manifest.attempted}: run `python -m sharding verify {place.name}`"
        )
    return ShardSet(place, manifest, index)
