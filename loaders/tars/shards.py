"""Which shards are streamed, by the manifest alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields

from clmr.errors import ConfigError, ShardError
from loaders.settings import PairSettings
from sharding.format import Manifest, ShardInfo, check_splits

UNUSED = ("access", "window", "cache", "cache_bytes", "quiet_db")  # settings of the backends with an index


def only_folder(settings: PairSettings) -> str:
    """The folder of shards, after a look at the settings.

    Raises:
        ConfigError: they ask for what this backend does not do.
    """
    if len(settings.shards) > 1:
        raise ConfigError(
            f"the webdataset backend reads one folder of shards, not {len(settings.shards)}: mix with others"
        )
    for field in fields(settings):
        if field.name in UNUSED and getattr(settings, field.name) != field.default:
            raise ConfigError(
                f"{field.name} does nothing with the webdataset backend: leave it out, or use another backend"
            )
    return settings.shards[0][0]


def streamed_shards(manifest: Manifest, settings: PairSettings, name: str) -> tuple[ShardInfo, ...]:
    """The shards of the splits that are used, in the manifest's order."""
    check_splits(settings.splits)
    shards = tuple(
        shard for split, infos in manifest.splits.items() if split in settings.splits for shard in infos if shard.tracks
    )
    if not shards:
        present = [split for split, infos in manifest.splits.items() if infos]
        raise ShardError(f"{name} has no tracks in {', '.join(settings.splits)}; it has {', '.join(present) or 'none'}")
    return shards


def hash_shards(shards: Sequence[ShardInfo]) -> str:
    """16 hex digits over what the samples and their order follow from."""
    state = hashlib.blake2b(digest_size=8)
    for shard in shards:
        state.update(f"{shard.name} {shard.sha256} {shard.tracks}\n".encode())
    return state.hexdigest()
