"""Prove that tars, DALI indexes, receipts, ``index.parquet`` and ``manifest.json`` say the same, byte for byte.

Every byte of a shard that is not a sample follows from its rows in the index, so the tar is compared with what should
stand there and the first wrong byte has a name; samples are compared by hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import xxhash
from tqdm import tqdm

from clmr.errors import ShardError
from sharding.assemble import concatenate, summarise
from sharding.format import (
    SAMPLE_BYTES,
    SPLITS,
    WRITTEN,
    Manifest,
    ShardInfo,
    idx_text,
    read_index,
    read_manifest,
    shard_root,
)
from sharding.members import END_OF_TAR, Components, IndexRow, frame_track
from sharding.receipt import Receipt, read_note, read_receipt

CHUNK_BYTES = 1 << 22
Advance = Callable[[int], object]
"""Called with the bytes just checked."""


def verify(shards: str) -> str:
    """Check a folder of shards from end to end.

    Returns:
        One line that says what was checked.

    Raises:
        ShardError: names the first file, and where there is one the byte, that disagrees.
    """
    root = shard_root(shards)
    manifest = read_manifest(root)
    receipts = _read_receipts(root, manifest)
    _check_strays(root, receipts)
    _check_index(root, manifest, receipts)
    infos = [receipt.shard for receipt in receipts.values() if receipt.shard]
    total = sum(info.bytes for info in infos)
    with tqdm(total=total, desc="verify", unit="B", unit_scale=True, disable=None) as bar:
        for receipt in receipts.values():
            if receipt.shard:
                check_shard(root, receipt.shard, _rows(receipt.rows), manifest.sample_rate, bar.update)
    return f"{root}: {manifest.written} tracks in {len(infos)} shards, {total} bytes, all as the manifest says"


def _read_receipts(root: Path, manifest: Manifest) -> dict[str, Receipt]:
    """All receipts, in the order of the index; each agrees with the manifest."""
    expected = {**manifest.settings, **manifest.software}
    listed = {shard.name: shard for shard in manifest.shards}
    receipts: dict[str, Receipt] = {}
    for split in SPLITS:
        for path in sorted((root / split).glob("[0-9]*.parquet")):
            name = f"{split}/{path.stem}.tar"
            receipt = read_receipt(path)
            for setting in sorted({*expected, *receipt.settings}):
                if receipt.settings.get(setting) != expected.get(setting):
                    raise ShardError(
                        f"{path} was built with {setting} {receipt.settings.get(setting)}, "
                        f"manifest.json says {expected.get(setting)}: delete the one that is wrong and build again"
                    )
            if receipt.shard != listed.get(name):
                raise ShardError(
                    f"{root}/manifest.json has {listed.get(name)}, but {path} has {receipt.shard}; {_remedy(path)}"
                )
            receipts[name] = receipt
    for name in listed:
        if name not in receipts:
            raise ShardError(f"{root / name}: its receipt {Path(name).stem}.parquet is missing; build again")
    if not receipts:
        raise ShardError(f"{root} has no receipts; build again")
    return receipts


def _check_strays(root: Path, receipts: Mapping[str, Receipt]) -> None:
    """No tar and no DALI index lies about that no receipt speaks of."""
    for split in SPLITS:
        for path in sorted((root / split).glob("[0-9]*")):
            receipt = receipts.get(f"{split}/{path.stem}.tar")
            if path.suffix in {".tar", ".idx"} and (receipt is None or receipt.shard is None):
                raise ShardError(f"{path} belongs to no receipt; delete it and build again")


def _check_index(root: Path, manifest: Manifest, by_name: Mapping[str, Receipt]) -> None:
    """The index is the receipts' rows, one after the other, and the manifest says of it what it is."""
    path = root / "index.parquet"
    index = read_index(path)
    receipts = list(by_name.values())
    expected, found = concatenate(receipts).to_pylist(), index.to_pylist()
    for number, (row, right) in enumerate(zip(found, expected, strict=False)):
        for column, value in right.items():
            if row[column] != value:
                raise ShardError(
                    f"{path} row {number} ({right['key']}): {column} is {row[column]!r}, its receipt says {value!r}; "
                    f"build again"
                )
    if len(found) != len(expected):
        raise ShardError(f"{path} has {len(found)} rows, the receipts have {len(expected)}; build again")
    labels = tuple(read_note(path, index).get("labels", ()))
    summary = summarise(receipts, labels, manifest.settings, manifest.software)
    for name, value in vars(summary).items():
        if getattr(manifest, name) != value:
            raise ShardError(
                f"{root}/manifest.json: {name} is {getattr(manifest, name)!r}, the shards say {value!r}; build again"
            )
    for name, receipt in by_name.items():
        stray = {label for row in receipt.rows.to_pylist() for label in row["labels"]} - set(labels)
        if stray:
            raise ShardError(
                f"{path} has labels of {name} outside the vocabulary: {', '.join(sorted(stray)[:5])}; "
                f"{_remedy(root / name)}"
            )


def check_shard(root: Path, shard: ShardInfo, rows: list[IndexRow], sample_rate: int, advance: Advance) -> None:
    """Compare a tar and its DALI index with the rows that describe them.

    Raises:
        ShardError: names the first byte that is wrong.
    """
    path = root / shard.name
    size = path.stat().st_size if path.exists() else -1
    if size != shard.bytes:
        there = f"has {size} bytes" if size >= 0 else "is missing"
        raise ShardError(f"{path} {there}, manifest.json says {shard.bytes}: copy or build it again")
    samples: list[Components] = []
    with path.open("rb") as file:
        tar = _Checked(path, file, advance)
        for row in rows:
            frame = frame_track(row, sample_rate, tar.position)
            tar.expect(frame.before, f"the headers of {row.key}.wav")
            if (row.shard, row.pcm_offset) != (shard.name, tar.position):
                raise ShardError(
                    f"{path}: the samples of {row.key} begin at byte {tar.position}, "
                    f"index.parquet says {row.shard} byte {row.pcm_offset}; {_remedy(path)}"
                )
            tar.expect_samples(row)
            tar.expect(frame.after, f"{row.key}.json")
            samples.append(frame.components)
        tar.expect(END_OF_TAR, "the end of the tar")
        if tar.position != size:
            raise ShardError(
                f"{path} byte {tar.position}: the tar ends, the file goes on to byte {size}; {_remedy(path)}"
            )
        if (tar.sha256.hexdigest(), len(rows)) != (shard.sha256, shard.tracks):
            raise ShardError(
                f"{path} holds {len(rows)} tracks, SHA-256 {tar.sha256.hexdigest()}; manifest.json says "
                f"{shard.tracks}, {shard.sha256}; {_remedy(path)}"
            )
    _check_idx(path.with_suffix(".idx"), idx_text(samples).encode())


class _Checked:
    """A tar read from front to end against what should stand in it."""

    def __init__(self, path: Path, file: BinaryIO, advance: Advance) -> None:
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
            raise ShardError(f"{self.path} byte {wrong}: {what} is not what index.parquet says; {_remedy(self.path)}")
        self.position += len(right)

    def expect_samples(self, row: IndexRow) -> None:
        assert row.frames is not None
        size = row.frames * SAMPLE_BYTES
        digest = xxhash.xxh3_64()
        for start in range(0, size, CHUNK_BYTES):
            digest.update(self._read(min(CHUNK_BYTES, size - start)))
        if digest.hexdigest() != row.pcm_xxh3:
            raise ShardError(
                f"{self.path} bytes {self.position} to {self.position + size}: the samples of {row.key} hash to "
                f"{digest.hexdigest()}, index.parquet says {row.pcm_xxh3}; {_remedy(self.path)}"
            )
        self.position += size


def _check_idx(path: Path, right: bytes) -> None:
    if not path.exists():
        raise ShardError(f"{path} is missing; build again")
    found = path.read_bytes()
    if found != right:
        raise ShardError(f"{path} byte {first_difference(found, right)}: not the index of its tar; {_remedy(path)}")


def _remedy(path: Path) -> str:
    """What makes a shard whole again: a build keeps every shard that has a receipt."""
    return f"delete {path.with_suffix('.parquet')} and build again"


def _rows(table: pa.Table) -> list[IndexRow]:
    """The written rows of a receipt."""
    return [IndexRow(**row) for row in table.to_pylist() if row["status"] == WRITTEN]


def first_difference(found: bytes, right: bytes) -> int:
    """The first position at which two byte strings differ; where one begins the other, its length."""
    pairs = enumerate(zip(found, right, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(found), len(right)))
