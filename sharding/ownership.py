"""Whose files are in the way: a build replaces what builds have written, and refuses a folder that holds other files.

A build marks its folder before it writes anything else. In a marked folder shards without a receipt, and damaged files,
are those of an interrupted build. In any other folder only what a receipt or a manifest proves is of a build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clmr.errors import ConfigError, ShardError
from sharding.format import FORMAT_VERSION, SPLITS, Manifest
from sharding.publish import publish
from sharding.receipt import METADATA_KEY

MARK = ".clmr-build.json"
SHARD_FILE = re.compile(r"[0-9]{6}\.(tar|idx|parquet)")


def check_places(source: Path, root: Path) -> None:
    """Refuse shards among the recordings, and recordings among the shards.

    Raises:
        ConfigError: one of the two folders is or contains the other.
    """
    recordings, shards = source.resolve(), root.resolve()
    if recordings.is_relative_to(shards) or shards.is_relative_to(recordings):
        raise ConfigError(f"--out {root} and --source {source} lie in one another; give an --out beside the source")


def check_owner(root: Path) -> None:
    """Refuse a folder in which a build would replace files that no build has written; nothing is changed.

    Raises:
        ConfigError: names the first such file.
    """
    marked = (root / MARK).exists()
    for path in _in_the_way(root):
        if not _is_ours(path, marked=marked):
            raise ConfigError(f"{path} was not written by a build, and one would replace it: give an empty --out")


def mark(root: Path) -> None:
    """Say that builds write in this folder."""
    if not (root / MARK).exists():
        with publish(root / MARK) as temporary:
            temporary.write_text(json.dumps({"format_version": FORMAT_VERSION}) + "\n", encoding="utf-8")


def shard_files(root: Path) -> list[Path]:
    """Tars, indexes and receipts, by their names."""
    found = (path for split in SPLITS for path in sorted((root / split).glob("[0-9]*")))
    return [path for path in found if SHARD_FILE.fullmatch(path.name)]


def _in_the_way(root: Path) -> Iterator[Path]:
    named = (root / name for name in ("manifest.json", "index.parquet", ".lock"))
    yield from (path for path in named if path.exists())
    yield from shard_files(root)


def _is_ours(path: Path, *, marked: bool) -> bool:
    if path.suffix == ".parquet":
        try:
            return METADATA_KEY in (pq.read_schema(path).metadata or {})
        except (OSError, pa.ArrowException):
            return marked
    if path.name == ".lock":
        return path.stat().st_size == 0
    if path.name == "manifest.json":
        return marked or _is_manifest(path)
    receipt = path.with_suffix(".parquet")
    return marked or (receipt.exists() and _is_ours(receipt, marked=False))


def _is_manifest(path: Path) -> bool:
    try:
        Manifest.from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError, ShardError):
        return False
    return True
