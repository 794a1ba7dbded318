"""What a shard's earlier version still holds, so that only what changed is decoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from clmr.errors import ShardError
from sharding.datasets.catalog import Probe, Recording
from sharding.format import SAMPLE_BYTES
from sharding.members import IndexRow
from sharding.receipt import Receipt, read_receipt
from sharding.storage import Place

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Salvage:
    """The tracks of a shard as an earlier build wrote it."""

    rows: Mapping[tuple[str, str, str], tuple[IndexRow, Probe]] = field(default_factory=dict)
    """By key, source and the checksum that the data set stated."""
    tar: BinaryIO | None = None

    def row(self, recording: Recording, probe: Probe) -> IndexRow | None:
        """What came of a recording, where its files look the same now; None where they do not, or nothing is known."""
        row, before = self.rows.get((recording.key, recording.source, recording.sha1), (None, None))
        return row if before == probe else None

    def samples(self, row: IndexRow) -> Pcm | None:
        """The samples of a written track; None where they cannot be had, or are not what the receipt says."""
        if self.tar is None or row.pcm_offset is None or row.frames is None:
            return None
        try:
            self.tar.seek(row.pcm_offset)
            pcm = self.tar.read(row.frames * SAMPLE_BYTES)
        except OSError:
            return None
        return np.frombuffer(pcm, "<i2") if xxhash.xxh3_64_hexdigest(pcm) == row.pcm_xxh3 else None


@contextmanager
def salvage(root: Place, stem: str, settings: Mapping[str, Any]) -> Iterator[Salvage]:
    """Open the earlier version of a shard, if there is one that the same settings and decoder made."""
    receipt = previous(root, stem)
    if receipt is None or receipt.settings != settings:
        yield Salvage()
        return
    rows = _rows(receipt)
    try:
        tar = root.open(receipt.shard.name) if receipt.shard else None
    except OSError:
        tar = None
    try:
        yield Salvage(rows, tar)
    finally:
        if tar is not None:
            tar.close()


def previous(root: Place, stem: str, data: bytes | None = None) -> Receipt | None:
    """The receipt of a shard's earlier version, or of its bytes; None where there is none that can be read."""
    try:
        return read_receipt(root, f"{stem}.parquet", data)
    except ShardError:
        return None


def _rows(receipt: Receipt) -> dict[tuple[str, str, str], tuple[IndexRow, Probe]]:
    found = (IndexRow(**{**row, "labels": tuple(row["labels"])}) for row in receipt.rows.to_pylist())
    stated = zip(found, receipt.probes, receipt.sha1, strict=True)
    return {(row.key, row.source, sha1): (row, probe) for row, probe, sha1 in stated}
