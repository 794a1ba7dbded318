"""What is in a folder of shards: splits, tracks, hours, labels, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sharding.format import SKIPPED, SPLITS, WRITTEN, open_shards
from sharding.storage import Place


def describe(shards: str | os.PathLike[str] | Place) -> dict[str, Any]:
    """Everything :func:`table` shows, as JSON can hold it.

    Raises:
        ShardError: no shards there, or damaged ones.
    """
    opened = open_shards(shards)
    manifest, index = opened.manifest, opened.index
    written = index.select(["split", "labels"]).filter(pc.equal(index["status"], WRITTEN))
    left_out = index.select(["reason", "source"]).filter(pc.equal(index["status"], SKIPPED))
    splits = {
        split: {
            "shards": len(infos),
            "tracks": sum(info.tracks for info in infos),
            "hours": round(sum(info.frames for info in infos) / manifest.sample_rate / 3600, 6),
            "bytes": sum(info.bytes for info in infos),
            "labels": _label_counts(written.filter(pc.equal(written["split"], split)), manifest.labels),
        }
        for split, infos in manifest.splits.items()
    }
    return {
        "shards": opened.place.name,
        "dataset": manifest.dataset,
        "sample_rate": manifest.sample_rate,
        "attempted": manifest.attempted,
        "written": manifest.written,
        "splits": splits,
        "skipped": {
            reason: left_out.filter(pc.equal(left_out["reason"], reason))["source"].to_pylist()
            for reason in manifest.skipped
        },
    }


def _label_counts(rows: pa.Table, vocabulary: Sequence[str]) -> dict[str, int]:
    counted = rows["labels"].combine_chunks().flatten().value_counts().to_pylist()
    counts = {entry["values"]: entry["counts"] for entry in counted}
    return {label: counts.get(label, 0) for label in vocabulary}


def table(listing: dict[str, Any]) -> str:
    """The description as text for a terminal."""
    splits = listing["splits"]
    total = {key: sum(splits[split][key] for split in splits) for key in ("shards", "tracks", "hours", "bytes")}
    rows = [
        (name, str(of["shards"]), str(of["tracks"]), f"{of['hours']:.2f}", f"{of['bytes'] / 2**20:.1f}")
        for name, of in [*splits.items(), ("all", total)]
    ]
    written = f"{listing['written']} of {listing['attempted']} tracks written"
    parts = [
        f"{listing['shards']}: {listing['dataset']}, {listing['sample_rate']} Hz, {written}",
        _columns([("split", "shards", "tracks", "hours", "MiB"), *rows]),
    ]
    counts = {label: [splits[split]["labels"][label] for split in SPLITS] for label in splits[SPLITS[0]]["labels"]}
    if counts:
        parts.append(
            _columns([("label", *SPLITS), *((label, *map(str, numbers)) for label, numbers in counts.items())])
        )
    if listing["skipped"]:
        skipped = (
            (reason, str(len(sources)), f" such as {min(sources)}") for reason, sources in listing["skipped"].items()
        )
        parts.append(_columns([("skipped", "tracks", ""), *skipped]))
    return "\n\n".join(parts)


def _columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows as columns: the first to the left, numbers to the right."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 or cell.startswith(" ") else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
