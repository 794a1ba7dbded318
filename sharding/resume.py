"""What an earlier build has left in the folder: finished shards to keep, and things to clear away."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError, ShardError
from sharding.format import SPLITS
from sharding.plan import PlannedShard
from sharding.receipt import read_receipt

PART = re.compile(rf"\..+\.{re.escape(socket.gethostname())}\.([0-9]+)\.[0-9a-f]{{8}}\.part")
SHARD_FILE = re.compile(r"([0-9]{6})\.(tar|idx|parquet)")


def check_settings(root: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds shards built with other settings or another decoder.

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
    manifest = root / "manifest.json"
    if manifest.exists():
        try:
            yield "manifest.json", settings_of(json.loads(manifest.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError):
            manifest.unlink()  # damaged: it is made anew from the receipts
    for split in SPLITS:
        for path in sorted((root / split).glob("[0-9]*.parquet")):
            try:
                yield f"{split}/{path.name}", read_receipt(path).settings
            except ShardError:
                path.unlink()  # damaged: the shard is built anew


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
        for path in folder.glob(".*.part"):
            match = PART.fullmatch(path.name)
            if match and not _is_alive(int(match[1])):
                path.unlink(missing_ok=True)


def remove_strangers(root: Path, shards: Sequence[PlannedShard]) -> None:
    """Remove the shards of an earlier plan that this one has no more."""
    planned = {shard.stem for shard in shards}
    for split in SPLITS:
        for path in (root / split).glob("[0-9]*"):
            match = SHARD_FILE.fullmatch(path.name)
            if match and f"{split}/{match[1]}" not in planned:
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
