"""What an earlier build has left in the folder: finished shards to keep, and things to clear away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError, ShardError
from sharding.format import SPLITS
from sharding.ownership import shard_files
from sharding.plan import PlannedShard
from sharding.publish import remove_orphans
from sharding.receipt import read_receipt


def check_settings(root: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds shards built with other settings or another decoder; nothing is changed.

    Raises:
        ConfigError: names the setting that differs.
    """
    for place, found in _settings_found(root):
        for name in sorted({*settings, *found}):
            if settings.get(name) != found.get(name):
                raise ConfigError(
                    f"{root} holds a build with {name} {found.get(name)} ({place}), not {settings.get(name)}: "
                    f"give another --out, or delete the folder to build anew"
                )


def _settings_found(root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The settings that each file holds; a damaged one holds none, and is made anew."""
    manifest = root / "manifest.json"
    if manifest.exists():
        try:
            found = settings_of(json.loads(manifest.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError):
            found = None
        if found is not None:
            yield "manifest.json", found
    for path in shard_files(root):
        if path.suffix == ".parquet":
            try:
                receipt = read_receipt(path)
            except ShardError:
                continue
            yield f"{path.parent.name}/{path.name}", receipt.settings


def settings_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, as receipts hold them, of the fields of a manifest."""
    return {**manifest["settings"], **manifest["software"]}


def is_complete(root: Path, shard: PlannedShard) -> bool:
    """Whether a shard's receipt, of these settings, is that of this plan and its files are there."""
    try:
        receipt = read_receipt(root / f"{shard.stem}.parquet")
    except ShardError:
        return False
    if receipt.plan != shard.fingerprint():
        return False
    if receipt.shard is None:
        return True
    tar = root / receipt.shard.name
    return tar.exists() and tar.stat().st_size == receipt.shard.bytes and tar.with_suffix(".idx").exists()


def remove_parts(root: Path) -> None:
    """Remove the unfinished files of processes of this machine that are no more."""
    for folder in (root, *(root / split for split in SPLITS)):
        remove_orphans(folder)


def remove_unplanned(root: Path, shards: Sequence[PlannedShard]) -> None:
    """Remove the shards of an earlier plan that this one has no more."""
    planned = {shard.stem for shard in shards}
    for path in shard_files(root):
        if f"{path.parent.name}/{path.stem}" not in planned:
            path.unlink()
