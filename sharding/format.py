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

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clmr.errors import ConfigError, ShardError
from sharding.storage import Place, place_at

FORMAT_VERSION = 1
SPLITS = ("train", "valid", "test")
SAMPLE_BYTES = 2
WAV_HEADER_BYTES = 44
TAR_BLOCK_BYTES = 512
KEY_PATTERN = re.compile(r"[0-9a-z_-]{1,64}")  # a dot in the stem makes stock tools merge samples silently

WRITTEN, SKIPPED = "written", "skipped"

INDEX_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train | valid | test; train for a skipped `unlisted` file
        pa.field("status", pa.string(), nullable=False),  # written | skipped
        pa.field("reason", pa.string()),  # why it was skipped; null when written
        pa.field("shard", pa.string()),  # "train/000000.tar"; null when skipped
        pa.field("pcm_offset", pa.int64()),  # byte of the first sample in the shard; null when skipped
        pa.field("frames", pa.int64()),  # samples at the manifest's rate; null when skipped
        pa.field("song_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("duration", pa.float64()),  # seconds; null when skipped
        pa.field(
            "source", pa.string(), nullable=False
        ),  # path below the source folder; of a track joined from several files, one per line
        pa.field("source_sha256", pa.string()),  # null when it could not be read
        pa.field("decoder", pa.string()),  # of a track that the manifest's decoder could not read; null for all others
        pa.field("pcm_xxh3", pa.string()),  # XXH3-64 of the PCM bytes, 16 hex digits; null when skipped
        pa.field("peak", pa.int32()),  # largest |sample|, 0..32768; null when skipped
        pa.field("clipped", pa.int64()),  # samples that had to be clipped to int16; null when skipped
    ]
)


@dataclass(frozen=True)
class ShardInfo:
    """One complete shard, as the manifest and its receipt name it."""

    name: str
    """Path below the root, such as ``train/000000.tar``."""
    bytes: int
    """Size of the tar."""
    tracks: int
    frames: int
    """Samples of all its tracks."""
    sha256: str
    """Of the tar, 64 hex digits."""


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says of the whole."""

    dataset: str
    sample_rate: int
    """Hz."""
    labels: tuple[str, ...]
    """The label vocabulary, in the order of a label vector's columns."""
    splits: Mapping[str, tuple[ShardInfo, ...]]
    software: Mapping[str, str]
    """Decoder, resampler and their versions."""
    settings: Mapping[str, Any]
    """What the build was asked for: seed, shard size, shortest track ..."""
    attempted: int
    written: int
    skipped: Mapping[str, int]
    """Tracks left out, by reason: attempted = written + sum of these."""
    hours: float
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Of index.parquet and of every receipt, by name."""
    format_version: int = FORMAT_VERSION
    dtype: str = "<i2"
    channels: int = 1

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """All shards, split after split."""
        return tuple(shard for infos in self.splits.values() for shard in infos)

    def to_json(self) -> str:
        """The text of ``manifest.json``: the same manifest gives the same bytes."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes, source: str) -> Manifest:
        """Parse and check the text of a manifest; ``source`` names it in errors."""
        try:
            fields = json.loads(text)
            version = fields["format_version"]
            if version != FORMAT_VERSION:
                raise ShardError(f"{source} is of format version {version}, not {FORMAT_VERSION}: rebuild it")
            splits = {
                split: tuple(ShardInfo(**info) for info in infos) for split, infos in fields.pop("splits").items()
            }
            manifest = Manifest(**{**fields, "labels": tuple(fields["labels"]), "splits": splits})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(f"{source} is damaged ({error}); run `python -m sharding build` again") from error
        if (manifest.dtype, manifest.channels) != ("<i2", 1):
            raise ShardError(f"{source}: PCM is {manifest.dtype} x {manifest.channels}; only mono <i2 is readable")
        return manifest


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
    table: pa.Table = field(repr=False)
    """The same rows of ``index.parquet``, for keys, labels and splits."""

    def __len__(self) -> int:
        return len(self.frames)


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
    index: pa.Table

    @property
    def root(self) -> Path:
        """The folder, where it is on a file system.

        Raises:
            ConfigError: it is in a bucket.
        """
        if self.place.root is None:
            raise ConfigError(
                f"{self.place.name}: reading from object storage is not supported here; copy it to a disk"
            )
        return self.place.root

    def tracks(self, splits: Sequence[str] = SPLITS) -> Tracks:
        """The written tracks of ``splits``, in index order.

        Raises:
            ConfigError: a split these shards do not have.
            ShardError: the splits hold no track, or a shard's size is not the manifest's.
        """
        present = [split for split, infos in self.manifest.splits.items() if infos]
        for split in splits:
            if split not in SPLITS:
                raise ConfigError(f"{split!r} is no split; one of {', '.join(SPLITS)}")
        in_splits = pc.is_in(self.index["split"], pa.array(splits, pa.string()))
        wanted = pc.and_(pc.equal(self.index["status"], WRITTEN), in_splits)
        row = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
        if not len(row):
            raise ShardError(
                f"{self.place.name} has no tracks in {', '.join(splits)}; it has {', '.join(present) or 'none'}"
            )
        table = self.index.take(pa.array(row))
        shard = table["shard"].combine_chunks().dictionary_encode()
        song = table["song_id"].combine_chunks().dictionary_encode()
        names = tuple(shard.dictionary.to_pylist())
        self._check_sizes(names)
        return Tracks(
            shard_names=names,
            shard=shard.indices.to_numpy().astype(np.int32),
            pcm_offset=table["pcm_offset"].to_numpy().astype(np.int64),
            frames=table["frames"].to_numpy().astype(np.int64),
            song=song.indices.to_numpy().astype(np.int64),
            row=row.astype(np.int64),
            table=table,
        )

    def _check_sizes(self, names: Sequence[str]) -> None:
        expected = {shard.name: shard.bytes for shard in self.manifest.shards}
        folders = sorted({name.rpartition("/")[0] for name in names})
        sizes = {f"{folder}/{name}": size for folder in folders for name, size in self.place.files(folder).items()}
        for name in names:
            path = self.place.address(name)
            if name not in expected:
                raise ShardError(f"index.parquet names {path}, manifest.json does not: run `python -m sharding verify`")
            if name not in sizes:
                raise ShardError(f"{path} is missing; run `python -m sharding build` again")
            if sizes[name] != expected[name]:
                raise ShardError(f"{path} has {sizes[name]} bytes, not {expected[name]}: copy or build it again")


def read_manifest(shards: str | os.PathLike[str] | Place) -> Manifest:
    """Read ``manifest.json`` of a shard folder, by path or URL."""
    place = place_at(shards)
    path = place.address("manifest.json")
    try:
        data = place.read("manifest.json")
    except FileNotFoundError as error:
        raise ShardError(
            f"{path} is missing: no shards, or an unfinished build; build them with `python -m sharding build`"
        ) from error
    return Manifest.from_json(data, path)


def read_index(place: Place, name: str) -> tuple[pa.Table, str]:
    """Read an ``index.parquet`` or a receipt and check its columns; also the SHA-256 of the file."""
    path = place.address(name)
    try:
        data = place.read(name)
        # No threads of pyarrow's own: one that still ran at the end of the process would abort it.
        table = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"{path} cannot be read ({error}); run `python -m sharding build` again") from error
    if not table.schema.equals(INDEX_SCHEMA):
        raise ShardError(f"{path} has other columns than format version {FORMAT_VERSION}; delete it and build again")
    return table, hashlib.sha256(data).hexdigest()


def open_shards(shards: str | os.PathLike[str] | Place) -> ShardSet:
    """Open a folder of shards, by path or URL: the one reader of the format.

    Raises:
        ShardError: no manifest, a damaged one, another version, or totals that do not fit the index.
    """
    place = place_at(shards)
    manifest = read_manifest(place)
    index, _ = read_index(place, "index.parquet")
    written = pc.sum(pc.equal(index["status"], WRITTEN)).as_py() or 0
    if (index.num_rows, written) != (manifest.attempted, manifest.written):
        raise ShardError(
            f"{place.address('index.parquet')} has {written} of {index.num_rows} tracks written, manifest.json says "
            f"{manifest.written} of {manifest.attempted}: run `python -m sharding verify {place.name}`"
        )
    return ShardSet(place, manifest, index)
