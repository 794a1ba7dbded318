"""Whose files are in the way: a build replaces what builds have written, and refuses a folder that holds other files.

A build marks its folder before it writes anything else. In a marked folder shards without a receipt, and damaged files,
are those of an interrupted build. In any other folder only what a receipt or a manifest proves is of a build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clmr.errors import ConfigError, ShardError
from sharding.format import FORMAT_VERSION, SPLITS, Manifest
from sharding.receipt import METADATA_KEY
from sharding.storage import Place

MARK = ".clmr-build.json"
LOCK = re.compile(r"\.lock(\..+)?")
SHARD_FILE = re.compile(r"[0-9]{6}\.(tar|idx|parquet)")


def check_places(source: Place, root: Place) -> None:
    """Refuse shards among the recordings, and recordings among the shards.

    Raises:
        ConfigError: one of the two folders is or contains the other.
    """
    if _lies_in(source, root) or _lies_in(root, source):
        raise ConfigError(
            f"--out {root.name} and --source {source.name} lie in one another; give an --out beside the source"
        )


def _lies_in(inner: Place, outer: Place) -> bool:
    if inner.root is None or outer.root is None:
        return inner.root is outer.root and inner.address("").startswith(outer.address(""))
    return inner.root.resolve().is_relative_to(outer.root.resolve())


def check_owner(root: Place, receipts: Collection[str]) -> None:
    """Refuse a folder in which a build would replace files that no build has written; nothing is changed.

    Args:
        root: folder of the shards.
        receipts: stems of the shards in it whose receipts were read.

    Raises:
        ConfigError: names the first such file.
    """
    there = root.files("")
    marked = MARK in there
    named = [name for name in there if name in {"manifest.json", "index.parquet"} or LOCK.fullmatch(name)]
    for name in [*named, *shard_files(root)]:
        if name.rpartition(".")[0] in receipts:
            continue
        if LOCK.fullmatch(name):
            ours = there[name] == 0
        elif name.endswith(".parquet"):
            ours = _is_index(root, name, damaged=marked)
        else:
            ours = marked or (name == "manifest.json" and _is_manifest(root))
        if not ours:
            raise ConfigError(
                f"{root.address(name)} was not written by a build, and one would replace it: give an empty --out"
            )


def _is_index(root: Place, name: str, *, damaged: bool) -> bool:
    """Whether a table is a build's; ``damaged`` is the answer where it cannot be read."""
    try:
        return METADATA_KEY in (pq.read_schema(pa.BufferReader(root.read(name))).metadata or {})
    except (OSError, pa.ArrowException):
        return damaged


def _is_manifest(root: Place) -> bool:
    try:
        Manifest.from_json(root.read("manifest.json"), "manifest.json")
    except (OSError, ShardError):
        return False
    return True


def mark(root: Place, settings: Mapping[str, Any], *, alone: bool) -> None:
    """Say that builds of these settings write in this folder.

    Args:
        root: folder of the shards, in which no shard of other settings lies.
        settings: of the build, with the decoder's versions.
        alone: no other build can be at work in the folder, so that a mark without shards means nothing.

    Raises:
        ConfigError: another build has marked it with other settings.
    """
    wanted = (json.dumps({"format_version": FORMAT_VERSION, "settings": settings}) + "\n").encode()
    found = root.read(MARK) if root.size(MARK) is not None else None
    if found is None or (alone and found != wanted):
        root.write(MARK, wanted)
        found = root.read(MARK)  # of two that begin at once, one sees the other's
    if found != wanted:
        raise ConfigError(
            f"{root.address(MARK)}: a build with other settings has begun here; give another --out, or, if none is at "
            f"work any more, delete that file"
        )


def shard_files(root: Place) -> list[str]:
    """Tars, indexes and receipts, by their names."""
    return [f"{split}/{name}" for split in SPLITS for name in root.files(split) if SHARD_FILE.fullmatch(name)]
