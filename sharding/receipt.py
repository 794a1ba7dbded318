"""Receipts and the index: a shard is complete exactly when its receipt exists.

A receipt is the shard's rows of ``index.parquet``; its metadata holds the shard's entry in the manifest, the settings
it was built with, and the fingerprint of its plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clmr.errors import ShardError
from sharding.format import INDEX_SCHEMA, ShardInfo, read_index
from sharding.members import IndexRow
from sharding.publish import publish

METADATA_KEY = b"clmr"


@dataclass(frozen=True, eq=False)
class Receipt:
    """What is known of a finished shard without opening it."""

    shard: ShardInfo | None
    """None where every recording was skipped: DALI refuses empty shards, so there is no tar."""
    settings: Mapping[str, Any]
    """Of the build, with the decoder's versions."""
    plan: str
    """Fingerprint of the planned shard."""
    rows: pa.Table
    """In the order of the plan, columns as INDEX_SCHEMA."""


def write_receipt(
    path: Path, shard: ShardInfo | None, settings: Mapping[str, Any], plan: str, rows: Sequence[IndexRow]
) -> None:
    """Publish the receipt of a shard whose tar and index are published."""
    table = pa.Table.from_pylist([vars(row) for row in rows], schema=INDEX_SCHEMA)
    write_table(path, table, {"shard": asdict(shard) if shard else None, "settings": settings, "plan": plan})


def write_table(path: Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Publish rows of the index with a note in the file's metadata; the same rows give the same bytes."""
    with publish(path) as temporary:
        noted = table.replace_schema_metadata({METADATA_KEY: json.dumps(about)})
        pq.write_table(noted, temporary, compression="zstd")


def read_note(path: Path, table: pa.Table) -> dict[str, Any]:
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


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        ShardError: it is missing or damaged.
    """
    rows = read_index(path)
    note = read_note(path, rows)
    try:
        shard = ShardInfo(**note["shard"]) if note["shard"] else None
        return Receipt(shard, note["settings"], note["plan"], rows.replace_schema_metadata())
    except (KeyError, TypeError) as error:
        raise ShardError(
            f"{path} is no receipt ({error}); delete it and run `python -m sharding build` again"
        ) from error
