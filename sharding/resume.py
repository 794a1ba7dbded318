"""What an earlier build has left in the folder: finished shards to keep, and things to clear away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clmr.errors import ConfigError
from sharding.format import SKIPPED, SPLITS
from sharding.ownership import shard_files
from sharding.plan import PlannedShard
from sharding.publish import remove_orphans
from sharding.receipt import Receipt
from sharding.salvage import previous
from sharding.storage import Place

BLOCK = 256  # receipts read ahead of their decoding
READERS = 16  # threads: reading a receipt is waiting for the disk, or for the object store


def read_receipts(root: Place) -> dict[str, Receipt]:
    """The receipts of all shards by their stems, such as ``train/000000``; damaged ones are passed over."""
    stems = [name.removesuffix(".parquet") for name in shard_files(root) if name.endswith(".parquet")]
    found: dict[str, Receipt] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for begin in range(0, len(stems), BLOCK):
            block = stems[begin : begin + BLOCK]
            # Threads read, this one decodes: Arrow keeps memory for each thread that does.
            for stem, data in zip(block, pool.map(lambda stem: _bytes(root, stem), block), strict=True):
                if data is not None and (receipt := previous(root, stem, data)) is not None:
                    found[stem] = receipt
    return found


def _bytes(root: Place, stem: str) -> bytes | None:
    """A receipt as it lies there; None where it cannot be read."""
    try:
        return root.read(f"{stem}.parquet")
    except OSError:
        return None


def check_settings(root: Place, settings: Mapping[str, Any], receipts: Mapping[str, Receipt]) -> None:
    """Refuse a folder that holds shards built with other settings or another decoder; nothing is changed.

    Raises:
        ConfigError: names the setting that differs.
    """
    places = {f"{stem}.parquet": receipt.settings for stem, receipt in receipts.items()}
    for place, found in {"manifest.json": _settings_of_manifest(root) or settings, **places}.items():
        for name in sorted({*settings, *found}):
            if settings.get(name) != found.get(name):
                raise ConfigError(
                    f"{root.name} holds a build with {name} {found.get(name)} ({place}), not {settings.get(name)}: "
                    f"give another --out, or delete the folder to build anew"
                )


def _settings_of_manifest(root: Place) -> Mapping[str, Any] | None:
    """None where there is no manifest, or a damaged one, which is made anew."""
    try:
        manifest = json.loads(root.read("manifest.json"))
        return {**manifest["settings"], **manifest["software"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def dealt_lengths(receipts: Iterable[Receipt]) -> dict[str, float]:
    """By key, the seconds that an earlier plan took each recording for."""
    return {
        key: length
        for receipt in receipts
        for key, length in zip(receipt.rows["key"].to_pylist(), receipt.lengths, strict=True)
    }


class Sizes:
    """Size of every file of a folder of shards, from one listing per split."""

    def __init__(self, root: Place) -> None:
        self._sizes = {f"{split}/{name}": size for split in SPLITS for name, size in root.files(split).items()}

    def __getitem__(self, name: str) -> int | None:
        return self._sizes.get(name)


def is_complete(shard: PlannedShard, receipt: Receipt | None, settings: Mapping[str, Any], sizes: Sizes) -> bool:
    """Whether a shard's receipt is that of this plan and these settings, and its files are there."""
    if receipt is None or receipt.settings != settings or receipt.plan != shard.fingerprint():
        return False
    if receipt.shard is None:
        return True
    return sizes[f"{shard.stem}.tar"] == receipt.shard.bytes and sizes[f"{shard.stem}.idx"] is not None


def has_failures(receipt: Receipt) -> bool:
    """Whether any recording was left out of a shard."""
    return SKIPPED in receipt.rows["status"].unique().to_pylist()


def same(receipts: Mapping[str, Receipt], others: Mapping[str, Receipt]) -> bool:
    """Whether two looks at a folder found the same receipts."""
    return {receipt.sha256 for receipt in receipts.values()} == {receipt.sha256 for receipt in others.values()}


def remove_parts(root: Place) -> None:
    """Remove the unfinished files of processes that are no more; a bucket shows none."""
    if root.root is not None:
        for folder in (root.root, *(root.root / split for split in SPLITS)):
            remove_orphans(folder)


def remove_unplanned(root: Place, shards: Sequence[PlannedShard]) -> None:
    """Remove the shards of an earlier plan that this one has no more."""
    planned = {shard.stem for shard in shards}
    superfluous = [name for name in shard_files(root) if name.partition(".")[0] not in planned]
    for name in ("manifest.json", *superfluous) if superfluous else ():  # the manifest first: it names them
        root.remove(name)
