"""``index.parquet`` and receipts: one row per track attempted, read whole or only the columns that are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clmr.errors import ShardError
from sharding.manifest import FORMAT_VERSION
from sharding.storage import Place

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
        pa.field("levels", pa.binary()),  # a byte per half second, see sharding/levels.py; null when skipped
    ]
)

BATCH_ROWS = 1 << 16
BUFFER_BYTES = 1 << 20  # a column is read in such pieces and never lies in memory as a whole, compressed

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Index:
    """Some rows of an ``index.parquet``. Columns are read when they are asked for, so a million rows cost nothing.

    Raises:
        ShardError: when a column is read: the file is damaged, missing, or no longer the one that was opened.
        StorageError: a bucket cannot be read.
    """

    place: Place
    name: str
    """Of the file, below the place."""
    metadata: Any = field(repr=False)
    """The file's own, as pyarrow reads it: it tells another file of the same name apart."""
    rows: Integers | None = field(default=None, repr=False)
    """The numbers of these rows in the file, rising; None for all of it."""
    _kept: dict[str, pa.ChunkedArray] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.metadata.num_rows) if self.rows is None else len(self.rows)

    def __getitem__(self, column: str) -> pa.ChunkedArray:
        """A column, kept in memory from the first use on."""
        if column not in self._kept:
            self._kept[column] = self.select([column])[column]
        return self._kept[column]

    def select(self, columns: Sequence[str]) -> pa.Table:
        """Some columns as a table, which is read anew and is the caller's."""
        fields = [INDEX_SCHEMA.field(column) for column in columns]
        return pa.Table.from_batches(list(self.batches(columns)), pa.schema(fields))

    def to_pylist(self) -> list[dict[str, Any]]:
        """Every row as a dict."""
        rows: list[dict[str, Any]] = self.select(INDEX_SCHEMA.names).to_pylist()
        return rows

    def at(self, rows: Integers) -> Index:
        """Of all rows of the file these, by their rising numbers in it."""
        return replace(self, rows=None if len(rows) == self.metadata.num_rows else rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows with some of their columns, some thousand rows at a time."""
        begin = 0
        with _opened(self.place, self.name) as file:
            if not file.metadata.equals(self.metadata):
                raise ShardError(
                    f"{self.place.address(self.name)} was replaced while in use; start again with the shards as they "
                    f"are now"
                )
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False):
                batch.validate(full=True)
                end = begin + batch.num_rows
                if self.rows is None:
                    yield batch
                else:
                    here = self.rows[slice(*np.searchsorted(self.rows, (begin, end)))]
                    yield batch if len(here) == len(batch) else batch.take(pa.array(here - begin))
                begin = end

    def binary(self, column: str, lengths: Integers) -> npt.NDArray[np.uint8]:
        """A column of byte strings, joined.

        Args:
            column: its name.
            lengths: bytes that each row must have, shape ``[N]``.

        Raises:
            ShardError: one has not.
        """
        ends = np.cumsum(lengths)
        joined = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        done = position = 0
        for batch in self.batches([column]):
            values = batch.column(0)
            rows = slice(done, done + len(values))
            offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
            wrong = np.flatnonzero(np.diff(offsets) != lengths[rows])
            if len(wrong):
                row = done + int(wrong[0])
                raise ShardError(
                    f"{self.place.address(self.name)}: {column} of {self['key'][row]} has {np.diff(offsets)[wrong[0]]} "
                    f"bytes, not {lengths[row]}: run `python -m sharding verify {self.place.name}`"
                )
            if len(values) and offsets[-1] > offsets[0]:
                data = np.frombuffer(values.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
                joined[position : position + len(data)] = data
                position += len(data)
            done = rows.stop
        return joined


def open_index(place: Place, name: str) -> Index:
    """Open an ``index.parquet`` and check its columns, by its last few kilobytes.

    Raises:
        ShardError: it is missing or damaged, or has other columns.
    """
    with _opened(place, name) as file:
        return Index(place, name, file.metadata)


def read_index(place: Place, name: str, data: bytes | None = None) -> tuple[pa.Table, str]:
    """Read an ``index.parquet`` or a receipt and check its columns; also the SHA-256 of the file.

    Args:
        place: folder of the file.
        name: of the file.
        data: its bytes, where they were read already.

    Raises:
        ShardError: it is missing or damaged, or has other columns.
    """
    with _readable(place, name):
        data = place.read(name) if data is None else data
        table = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False).read(use_threads=False)
        table.validate(full=True)  # text that is not UTF-8 would be found by whoever reads it
    _check_columns(table.schema, place, name)
    return table, hashlib.sha256(data).hexdigest()


@contextmanager
def _opened(place: Place, name: str) -> Iterator[pq.ParquetFile]:
    # No threads of pyarrow's own: one that still ran at the end of the process would abort it.
    with (
        _readable(place, name),
        place.open(name) as file,
        pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as opened,
    ):
        _check_columns(opened.schema_arrow, place, name)
        yield opened


@contextmanager
def _readable(place: Place, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last of column names
        raise ShardError(
            f"{place.address(name)} cannot be read ({error}); run `python -m sharding build` again"
        ) from error


def _check_columns(schema: pa.Schema, place: Place, name: str) -> None:
    if not schema.equals(INDEX_SCHEMA):
        raise ShardError(
            f"{place.address(name)} has other columns than format version {FORMAT_VERSION}; delete it and build again"
        )
