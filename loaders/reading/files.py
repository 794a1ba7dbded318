"""Open shards, shared by the reading threads: opened at first use, few at a time, never closed under a reader."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Protocol

from clmr.errors import ShardError
from loaders.reading.slabs import Bytes

OPEN_SHARDS = 256  # a quarter of the usual limit of 1024 descriptors per process


class OpenShard:
    """An open file that closes when its last user lets go of it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)

    def read_into(self, target: Bytes, offset: int) -> None:
        """Fill ``target`` from byte ``offset`` on.

        Raises:
            ShardError: the file ends too early or cannot be read.
        """
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self.descriptor, [target[done:].data], offset + done)
            except OSError as error:
                raise ShardError(f"{self.path} cannot be read at byte {offset + done}: {error.strerror}") from error
            if count == 0:
                raise ShardError(
                    f"{self.path} ends before byte {offset + len(target)}, {len(target) - done} bytes short: "
                    "it was cut while in use; copy or build it again"
                )
            done += count


class Files(Protocol):
    """Open shards by number."""

    def __getitem__(self, number: int, /) -> OpenShard:
        """The shard, opened; keep the object as long as you read from it."""

    def close(self) -> None:
        """Let go of them."""


class ShardFiles:
    """The shards of one loader by number, at most ``limit`` of them open.

    The one opened longest ago is closed first. Crops fall on all shards alike, so which was used last tells nothing,
    and a hit is one look into a dict, without a lock.
    """

    def __init__(self, root: Path, names: tuple[str, ...], sizes: tuple[int, ...], limit: int = OPEN_SHARDS) -> None:
        self.root = root
        self.names = names
        self.sizes = sizes
        self.limit = limit
        self._open: dict[int, OpenShard] = {}
        self._versions: dict[int, tuple[int, int]] = {}
        self._lock = Lock()

    def __getitem__(self, number: int) -> OpenShard:
        """The shard, opened; keep the object as long as you read from it.

        Raises:
            ShardError: it is missing, or no longer the file it was.
        """
        return self._open.get(number) or self._open_once(number)

    def _open_once(self, number: int) -> OpenShard:
        with self._lock:
            if number not in self._open:
                shard = self._open_file(number)
                while len(self._open) >= self.limit:
                    del self._open[next(iter(self._open))]
                self._open[number] = shard
            return self._open[number]

    def _open_file(self, number: int) -> OpenShard:
        path = self.root / self.names[number]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ShardError(f"{path} cannot be opened: {error.strerror}; copy or build it again") from error
        shard = OpenShard(path, descriptor)
        status = os.fstat(descriptor)
        if status.st_size != self.sizes[number]:
            raise ShardError(f"{path} has {status.st_size} bytes, not {self.sizes[number]}: copy or build it again")
        # A shard may be closed and opened many times in a run: the same bytes must come each time.
        version = (status.st_ino, status.st_mtime_ns)
        if self._versions.setdefault(number, version) != version:
            raise ShardError(f"{path} was replaced while in use; start again, from a checkpoint of the same shards")
        if hasattr(os, "posix_fadvise"):  # crops lie anywhere: reading ahead would waste the disk
            os.posix_fadvise(shard.descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        return shard

    def close(self) -> None:
        """Let go of all descriptors; those being read close when the read ends."""
        with self._lock:
            self._open.clear()
