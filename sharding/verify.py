"""Prove that tars, DALI indexes, receipts, ``index.parquet`` and ``manifest.json`` say the same, byte for byte.

Every byte of a shard that is not a sample follows from its rows in the index, so the tar is compared with what should
stand there and the first wrong byte has a name; samples are compared by hash.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import xxhash
from tqdm import tqdm

from clmr.errors import ShardError
from sharding.consistency import check_index, check_receipts, first_difference, remedy
from sharding.format import SAMPLE_BYTES, SPLITS, WRITTEN, ShardInfo, read_manifest
from sharding.levels import level_frames, measure_levels
from sharding.members import END_OF_TAR, Components, IndexRow, frame_track, idx_text
from sharding.receipt import Receipt
from sharding.storage import Place, place_at

CHUNK_BYTES = 1 << 22
Advance = Callable[[int], object]
"""Called with the bytes just checked."""


def verify(shards: str | os.PathLike[str] | Place, jobs: int = 1) -> str:
    """Check a folder of shards, on a disk or in a bucket, from end to end.

    Args:
        shards: path or URL.
        jobs: threads, each with a shard of its own.

    Returns:
        One line that says what was checked.

    Raises:
        ShardError: names the first file, and where there is one the byte, that disagrees.
        StorageError: a bucket cannot be read.
    """
    root = place_at(shards)
    manifest = read_manifest(root)
    files = {f"{split}/{name}": size for split in SPLITS for name, size in root.files(split).items()}
    receipts = check_receipts(root, manifest, files)
    check_index(root, manifest, receipts)
    written = [receipt for receipt in receipts.values() if receipt.shard]
    total = sum(receipt.shard.bytes for receipt in written if receipt.shard)
    with (
        tqdm(total=total, desc="verify", unit="B", unit_scale=True, disable=None) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        one_at_a_time = threading.Lock()

        def advance(checked: int) -> None:
            with one_at_a_time:
                bar.update(checked)

        def check(receipt: Receipt) -> None:
            assert receipt.shard is not None
            check_shard(root, receipt.shard, _rows(receipt.rows), manifest.sample_rate, advance)

        checks = [pool.submit(check, receipt) for receipt in written]
        try:
            for done in checks:  # in the order of the index: the first error is that of the first shard that lies
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return f"{root.name}: {manifest.written} tracks in {len(written)} shards, {total} bytes, all as the manifest says"


def check_shard(root: Place, shard: ShardInfo, rows: list[IndexRow], sample_rate: int, advance: Advance) -> None:
    """Compare a tar and its DALI index with the rows that describe them.

    Raises:
        ShardError: names the first byte that is wrong.
    """
    path = root.address(shard.name)
    size = root.size(shard.name)
    if size != shard.bytes:
        there = "is missing" if size is None else f"has {size} bytes"
        raise ShardError(f"{path} {there}, manifest.json says {shard.bytes}: copy or build it again")
    samples: list[Components] = []
    with root.open(shard.name) as file:
        tar = _Checked(path, file, advance)
        for row in rows:
            frame = frame_track(row, sample_rate, tar.position)
            tar.expect(frame.before, f"the headers of {row.key}.wav")
            if (row.shard, row.pcm_offset) != (shard.name, tar.position):
                raise ShardError(
                    f"{path}: the samples of {row.key} begin at byte {tar.position}, "
                    f"index.parquet says {row.shard} byte {row.pcm_offset}; {remedy(path)}"
                )
            tar.expect_samples(row, sample_rate)
            tar.expect(frame.after, f"{row.key}.json")
            samples.append(frame.components)
        tar.expect(END_OF_TAR, "the end of the tar")
        if tar.position != size:
            raise ShardError(
                f"{path} byte {tar.position}: the tar ends, the file goes on to byte {size}; {remedy(path)}"
            )
        if (tar.sha256.hexdigest(), len(rows)) != (shard.sha256, shard.tracks):
            raise ShardError(
                f"{path} holds {len(rows)} tracks, SHA-256 {tar.sha256.hexdigest()}; manifest.json says "
                f"{shard.tracks}, {shard.sha256}; {remedy(path)}"
            )
    _check_idx(root, f"{shard.name.removesuffix('.tar')}.idx", idx_text(samples).encode())


class _Checked:
    """A tar read from front to end against what should stand in it."""

    def __init__(self, path: str, file: BinaryIO, advance: Advance) -> None:
        self.path = path
        self.file = file
        self.advance = advance
        self.position = 0
        self.sha256 = hashlib.sha256()

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.sha256.update(data)
        self.advance(len(data))
        return data

    def expect(self, right: bytes, what: str) -> None:
        found = self._read(len(right))
        if found != right:
            wrong = self.position + first_difference(found, right)
            raise ShardError(f"{self.path} byte {wrong}: {what} is not what index.parquet says; {remedy(self.path)}")
        self.position += len(right)

    def expect_samples(self, row: IndexRow, sample_rate: int) -> None:
        assert row.frames is not None
        size = row.frames * SAMPLE_BYTES
        digest = xxhash.xxh3_64()
        levels = []
        block_bytes = level_frames(sample_rate) * SAMPLE_BYTES
        chunk_bytes = max(1, CHUNK_BYTES // block_bytes) * block_bytes  # whole blocks: chunk by chunk, the same levels
        for start in range(0, size, chunk_bytes):
            data = self._read(min(chunk_bytes, size - start))
            digest.update(data)
            levels.append(measure_levels(np.frombuffer(data, "<i2", len(data) // SAMPLE_BYTES), sample_rate))
        if digest.hexdigest() != row.pcm_xxh3:
            raise ShardError(
                f"{self.path} bytes {self.position} to {self.position + size}: the samples of {row.key} hash to "
                f"{digest.hexdigest()}, index.parquet says {row.pcm_xxh3}; {remedy(self.path)}"
            )
        if b"".join(levels) != row.levels:
            raise ShardError(
                f"{self.path}: the samples of {row.key} have other levels than index.parquet says; {remedy(self.path)}"
            )
        self.position += size


def _check_idx(root: Place, name: str, right: bytes) -> None:
    path = root.address(name)
    try:
        found = root.read(name)
    except FileNotFoundError as error:
        raise ShardError(f"{path} is missing; build again") from error
    if found != right:
        raise ShardError(f"{path} byte {first_difference(found, right)}: not the index of its tar; {remedy(path)}")


def _rows(table: pa.Table) -> list[IndexRow]:
    """The written rows of a receipt."""
    return [IndexRow(**row) for row in table.to_pylist() if row["status"] == WRITTEN]
