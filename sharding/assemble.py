"""From the receipts of all shards to index.parquet and manifest.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sharding.format import SKIPPED, SPLITS, Manifest, ShardInfo
from sharding.receipt import Receipt, write_table
from sharding.storage import Place


def assemble(
    root: Place,
    receipts: Sequence[Receipt],
    labels: tuple[str, ...],
    settings: Mapping[str, Any],
    software: Mapping[str, str],
) -> Manifest:
    """Publish index.parquet and, last of all, manifest.json.

    Args:
        root: folder of the shards.
        receipts: of all shards, in the order of the index.
        labels: the vocabulary.
        settings: of the build.
        software: what decoded, with versions.
    """
    sha256 = write_table(root, "index.parquet", concatenate(receipts), {"labels": labels})
    manifest = summarise(receipts, labels, settings, software, sha256)
    root.write("manifest.json", manifest.to_json().encode())
    return manifest


def concatenate(receipts: Sequence[Receipt]) -> pa.Table:
    """The rows of the index: those of the receipts, one after the other."""
    return pa.concat_tables([receipt.rows for receipt in receipts])


def summarise(
    receipts: Sequence[Receipt],
    labels: tuple[str, ...],
    settings: Mapping[str, Any],
    software: Mapping[str, str],
    index_sha256: str,
) -> Manifest:
    """The manifest of finished shards, in the order of the index."""
    infos: dict[str, list[ShardInfo]] = {split: [] for split in SPLITS}
    for receipt in receipts:
        if receipt.shard:
            infos[receipt.shard.name.partition("/")[0]].append(receipt.shard)
    index = pa.concat_tables([receipt.rows.select(["status", "reason"]) for receipt in receipts])
    left_out = index.filter(pc.equal(index["status"], SKIPPED))
    skipped = {entry["values"]: entry["counts"] for entry in left_out["reason"].value_counts().to_pylist()}
    written = sum(info.tracks for split in infos.values() for info in split)
    assert index.num_rows == written + sum(skipped.values()), "attempted = written + skipped"
    frames = sum(info.frames for split in infos.values() for info in split)
    return Manifest(
        dataset=settings["dataset"],
        sample_rate=settings["sample_rate"],
        labels=labels,
        splits={split: tuple(found) for split, found in infos.items()},
        software=software,
        settings=settings,
        attempted=index.num_rows,
        written=written,
        skipped=dict(sorted(skipped.items())),
        hours=round(frames / settings["sample_rate"] / 3600, 6),
        sha256={"index.parquet": index_sha256, **{receipt.name: receipt.sha256 for receipt in receipts}},
    )
