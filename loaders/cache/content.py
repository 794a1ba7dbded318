"""To see what a cache holds, and to empty it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clmr.errors import ConfigError
from loaders.cache.folder import MARK, CacheFolder
from loaders.cache.locks import is_held


@dataclass(frozen=True)
class CachedShard:
    """A shard in a cache, whole or on its way."""

    url: str
    """Where it came from."""
    size: int
    """Bytes."""
    last_use: float
    """Seconds since 1970."""
    in_use: bool
    """Somebody reads from it or fetches it."""


def cache_content(root: Path) -> list[CachedShard]:
    """What a cache holds, used last first; nothing where there is no folder.

    Raises:
        ConfigError: the folder is no cache.
    """
    folder = _open(root)
    if folder is None:
        return []
    with folder.locked():
        found = [
            CachedShard(folder.url(entry.path.stem), entry.size, entry.used, is_held(entry.path))
            for entry in folder.sweep()
        ]
    return sorted(found, key=lambda shard: -shard.last_use)


def clear(root: Path) -> int:
    """Remove the shards that nobody uses; never a file that the cache did not write.

    Returns:
        The bytes that became free.

    Raises:
        ConfigError: the folder is no cache.
    """
    folder = _open(root)
    if folder is None:
        return 0
    freed = 0
    with folder.locked():
        for entry in folder.sweep():
            if not is_held(entry.path):
                folder.remove(entry.path.stem)
                freed += entry.size
    return freed


def _open(root: Path) -> CacheFolder | None:
    if not root.exists():
        return None
    if not (root / MARK).exists():
        raise ConfigError(f"{root} is no cache of shards; name one with --cache")
    return CacheFolder(root)
