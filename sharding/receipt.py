"""Receipts and the index: a shard is complete exactly when its receipt exists.

A receipt is the shard's rows of ``index.parquet``; its metadata holds the shard's entry in the manifest, the settings
it was built with, and what the plan knew of each recording.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clmr.errors import ShardError
from sharding.datasets.catalog import Probe
from sharding.format import INDEX_SCHEMA, ShardInfo, read_index
from sharding.members import IndexRow
from sharding.plan import PlannedShard
from sharding.storage import Place

METADATA_KEY = b"clmr"


@dataclass(frozen=True, eq=False)
class Receipt:
    """What is known of a finished shard without opening it."""

    name: str
    """Below the root, such as ``train/000000.parquet``."""
    shard: ShardInfo | None
    """None where every recording was skipped: DALI refuses empty shards, so there is no tar."""
    settings: Mapping[str, Any]
    """Of the build, with the decoder's versions."""
    plan: str
    """Fingerprint of the planned shard."""
    probes: tuple[Probe, ...]
    """What was known of each recording before it was decoded, in the order of the rows."""
    lengths: tuple[float, ...]
    """Seconds that each recording was taken for when the shard was planned."""
    sha1: tuple[str, ...]
    """Checksums that the data set stated of the recordings; empty where it states none."""
    rows: pa.Table
    """In the order of the plan, columns as INDEX_SCHEMA."""
    sha256: str
    """Of the receipt itself."""


def write_receipt(
    root: Place, planned: PlannedShard, settings: Mapping[str, Any], shard: ShardInfo | None, rows: Sequence[IndexRow]
) -> None:
    """Publish the receipt of a shard whose tar and index are published."""
    columns = {column: [getattr(row, column) for row in rows] for column in INDEX_SCHEMA.names}
    about = {
        "shard": asdict(shard) if shard else None,
        "settings": settings,
        "plan": planned.fingerprint(),
        "probes": [[probe.seconds, probe.bytes] for probe in planned.probes],
        "lengths": planned.lengths,
        "sha1": [recording.sha1 for recording in planned.tracks],
    }
    write_table(root, f"{planned.stem}.parquet", pa.table(columns, schema=INDEX_SCHEMA), about)


def write_table(root: Place, name: str, table: pa.Table, about: Mapping[str, Any]) -> str:
    """Publish rows of the index with a note in the file's metadata; the same rows give the same bytes.

    Returns:
        SHA-256 of the file.
    """
    noted = table.replace_schema_metadata({METADATA_KEY: json.dumps(about)})
    buffer = io.BytesIO()
    pq.write_table(noted, buffer, compression="zstd")
    root.write(name, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def read_note(path: str, table: pa.Table) -> dict[str, Any]:
    """The note that :func:`write_table` left in the metadata of ``table``, read from ``path``.

    Raises:
        ShardError: there is none.
    """
    try:
        return dict(json.loads((table.schema.metadata or {})[METADATA_KEY]))
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path} has no note of its build; delete it and run `python -m sharding build` again"
        ) from error


def read_receipt(root: Place, name: str, data: bytes | None = None) -> Receipt:
    """Read a receipt, or make it of its bytes.

    Raises:
        ShardError: it is missing or damaged.
    """
    path = root.address(name)
    rows, sha256 = read_index(root, name, data)
    note = read_note(path, rows)
    try:
        shard = ShardInfo(**note["shard"]) if note["shard"] else None
        probes = tuple(Probe(float(seconds), int(size)) for seconds, size in note["probes"])
        lengths = tuple(map(float, note["lengths"]))
        sha1 = tuple(map(str, note["sha1"]))
        rows = rows.replace_schema_metadata()
        receipt = Receipt(name, shard, note["settings"], note["plan"], probes, lengths, sha1, rows, sha256)
    except (KeyError, TypeError, ValueError) as error:
        raise ShardError(
            f"{path} is no receipt ({error}); delete it and run `python -m sharding build` again"
        ) from error
    if not len(probes) == len(lengths) == len(sha1) == rows.num_rows:
        raise ShardError(f"{path} has {rows.num_rows} rows and notes {len(probes)}; delete it and build again")
    return receipt
