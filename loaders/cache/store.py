"""Whole remote shards on a local disk, shared by all processes of the machine and limited in size.

The limit holds at any moment: a part counts with its full size from its first byte on, and room for it is made before.
What was used longest ago goes first, and nothing that somebody uses. See loaders/cache/folder.py for what lies there.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

from clmr.errors import ConfigError, StorageError
from loaders.cache.folder import MARK, CacheFolder, Entry, RemoteShard, charge, in_units
from loaders.cache.jobs import Membership, Statement
from loaders.cache.locks import ALONE, HeldShard, Part, close_locked, is_held, open_locked

SHARE_OF_FREE = 0.8
"""Of the free disk, what a cache takes where nobody says how much."""


FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


class Refusal(Enum):
    """Why a shard is not to be had now."""

    BUSY = "another process fetches it"
    FULL = "what is in the cache is in use, and there is no room for more"
    DISK = "the same, but it is the disk that has no room"


class ShardCache:
    """A cache of shards in a folder.

    Args:
        root: the folder, on a disk of this machine; made where it is missing.
        limit_bytes: what it may hold at most.

    Raises:
        ConfigError: the folder holds other files, or cannot be used.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ConfigError(f"--cache-size is {limit_bytes} bytes: give the cache room for some shards")
        self.folder = CacheFolder(root)
        self.root = self.folder.root
        self.limit_bytes = limit_bytes

    def join(self, data: str, minimum: int) -> Membership:
        """State what a job needs of the cache; see :mod:`loaders.cache.jobs`.

        Args:
            data: names what is read.
            minimum: bytes of shards that its batches can need at once, each by :func:`charge`.

        Raises:
            ConfigError: that is more than the limit, or than other jobs or the disk leave.
        """
        membership = Membership(self.folder, data, Statement(minimum, self.limit_bytes))
        with self.folder.locked():
            self._make_room(0, membership.situation().limit)  # it may have been larger before
            held = sum(entry.size for entry in self.folder.entries())
        free = shutil.disk_usage(self.root).free
        if free + held < minimum:
            membership.close()
            raise ConfigError(
                f"the disk of the cache {self.root} has {in_units(free)} free, and this job needs at least "
                f"{in_units(minimum)} of shards at once: free space there, or give another folder with --cache"
            )
        return membership

    def take(self, shard: RemoteShard, membership: Membership, *, urgent: bool) -> HeldShard | Part | Refusal:
        """Get hold of a shard, or of the right and the duty to fetch it.

        Args:
            shard: which.
            membership: of the job that asks.
            urgent: a batch waits for it; it is not fetched ahead.

        Raises:
            StorageError: the disk is full, or fails.
        """
        try:
            with self.folder.locked():
                return self._take(shard, membership, urgent=urgent)
        except OSError as error:
            raise self.explain(error, shard) from error

    def _take(self, shard: RemoteShard, membership: Membership, *, urgent: bool) -> HeldShard | Part | Refusal:
        with suppress(FileNotFoundError):
            held = HeldShard(self.folder.shard(shard.key))
            if os.fstat(held.descriptor).st_size == shard.size:
                held.touch()
                return held
            self.folder.remove(shard.key)  # somebody cut it
        if is_held(self.folder.part(shard.key)):
            return Refusal.BUSY
        situation = membership.situation()
        if situation.pressed and not urgent:
            return Refusal.FULL
        refusal = self._make_room(charge(shard.size), situation.limit)
        if refusal is not None:
            return refusal
        self.folder.write_note(shard)
        part = Part(self.folder.part(shard.key))
        os.ftruncate(part.descriptor, shard.size)
        return part

    def allocate(self, shard: RemoteShard, part: Part) -> None:
        """Give a part its place on the disk, so that a full one shows now.

        Raises:
            StorageError: it is full.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(part.descriptor, 0, shard.size)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:  # some file systems cannot
                raise self.explain(error, shard) from error

    def publish(self, part: Part) -> HeldShard:
        """Make a part that is whole and checked a shard of the cache.

        Raises:
            StorageError: the disk fails, or the folder was removed.
        """
        os.fsync(part.descriptor)  # what is called whole must be so after a power failure too
        with self.folder.locked():
            path = part.path.with_suffix(".shard")
            part.path.rename(path)
            part.let_go()
            return HeldShard(path)

    def drop(self, part: Part) -> None:
        """Remove a part that will not become whole."""
        with suppress(OSError, StorageError), self.folder.locked():
            self.folder.remove(part.path.stem)
        part.let_go()

    def _make_room(self, needed: int, limit: int) -> Refusal | None:
        """Remove the shards used longest ago until so much fits; nothing where that would not do."""
        entries = self.folder.sweep()
        excess = sum(charge(entry.size) for entry in entries) + needed - limit
        short = needed - shutil.disk_usage(self.root).free
        victims: list[tuple[Entry, int]] = []
        try:
            for entry in sorted(entries, key=lambda entry: entry.used):
                if excess <= 0 and short <= 0:
                    break
                with suppress(BlockingIOError):
                    victims.append((entry, open_locked(entry.path, ALONE)))
                    excess -= charge(entry.size)
                    short -= charge(entry.size)
            if (excess <= 0 and short <= 0) or not needed:
                for entry, _ in victims:
                    self.folder.remove(entry.path.stem)
        finally:
            for _, descriptor in victims:
                close_locked(descriptor)
        return Refusal.FULL if excess > 0 else Refusal.DISK if short > 0 else None

    def disk_full(self, shard: RemoteShard) -> StorageError:
        """What to tell people where the disk has no room for a shard."""
        free = shutil.disk_usage(self.root).free
        return StorageError(
            f"the disk of the cache {self.root} is full: {in_units(free)} free, {in_units(shard.size)} needed for "
            f"{shard.url}: free space there, or give another folder with --cache"
        )

    def explain(self, error: Exception, shard: RemoteShard | None = None) -> Exception:
        """An error of the system, as one that names the cache."""
        if not isinstance(error, OSError):
            return error
        if shard is not None and error.errno in FULL_DISK:
            return self.disk_full(shard)
        return StorageError(
            f"the cache {self.root} failed ({error.strerror}): start again, or give another folder with --cache"
        )


def cache_root(environment: Mapping[str, str]) -> Path:
    """The folder of the cache where nobody names one: ``$CLMR_CACHE`` or ``~/.cache/clmr/shards``."""
    named = environment.get("CLMR_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "clmr" / "shards"


def default_limit(root: Path) -> int:
    """What a cache may hold where nobody says how much: 80 % of the free disk, and what it holds already; bytes."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    held = sum(charge(entry.size) for entry in CacheFolder(root).entries()) if (root / MARK).exists() else 0
    return int(SHARE_OF_FREE * shutil.disk_usage(there).free) + held
