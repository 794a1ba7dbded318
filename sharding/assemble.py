"""From the receipts of all shards to index.parquet and manifest.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sharding.format import SPLITS, WRITTEN, Manifest, ShardInfo
from sharding.plan import PlannedShard
from sharding.publish import publish
from sharding.receipt import Receipt, read_receipt, write_table


def assemble(
    root: Path,
    shards: Sequence[PlannedShard],
    labels: tuple[str, ...],
    settings: Mapping[str, Any],
    software: Mapping[str, str],
) -> Manifest:
    """Publish index.parquet and, last of all, manifest.json."""
    receipts = [read_receipt(root / f"{shard.stem}.parquet") for shard in shards]
    manifest = summarise(receipts, labels, settings, software)
    write_table(root / "index.parquet", concatenate(receipts), {"labels": labels})
    with publish(root / "manifest.json") as temporary:
        temporary.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def concatenate(receipts: Sequence[Receipt]) -> pa.Table:
    """The rows of the index: those of the receipts, one after the other."""
    return pa.concat_tables([receipt.rows for receipt in receipts]).combine_chunks()


def summarise(
    receipts: Sequence[Receipt], labels: tuple[str, ...], settings: Mapping[str, Any], software: Mapping[str, str]
) -> Manifest:
    """The manifest of finished shards, in the order of the index."""
    infos: dict[str, list[ShardInfo]] = {split: [] for split in SPLITS}
    for receipt in receipts:
        if receipt.shard:
            infos[receipt.shard.name.partition("/")[0]].append(receipt.shard)
    index = concatenate(receipts)
    skipped = Counter(reason for reason in index["reason"].to_pylist() if reason)
    written = pc.sum(pc.equal(index["status"], WRITTEN)).as_py() or 0
    assert index.num_rows == written + skipped.total(), "attempted = written + skipped"
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
    )
