"""Files held by a lock on an open descriptor: the lock ends with the process, however that ends.

The system keeps such a lock as long as any copy of the descriptor is open. A child by fork() would have copies, and
with them keep what its parent held when that is killed; so children let go of theirs at once.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from loaders.reading.files import OpenShard

SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX

_locked: set[int] = set()


def open_locked(path: Path, lock: int, *, wait: bool = False, create: bool = False) -> int:
    """Open a file to read and write, with a lock.

    Args:
        path: of the file.
        lock: :data:`SHARED` or :data:`ALONE`.
        wait: until others let go of it.
        create: it, where it is missing.

    Raises:
        BlockingIOError: others hold it, and it was not to be waited for.
        FileNotFoundError: there is no such file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o666)
    try:
        fcntl.flock(descriptor, lock if wait else lock | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    _locked.add(descriptor)
    return descriptor


def close_locked(descriptor: int) -> None:
    """Close a descriptor from :func:`open_locked`."""
    _locked.discard(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that is forked at this moment may hold a copy
    os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether anybody holds a lock on a file. For a moment the asker does: ask where nobody else does."""
    try:
        close_locked(open_locked(path, ALONE))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _let_go() -> None:
    """In a forked child: replace the copies by harmless descriptors, which their owners may close."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for descriptor in _locked:
        os.dup2(nothing, descriptor, inheritable=False)
    _locked.clear()
    os.close(nothing)


os.register_at_fork(after_in_child=_let_go)


class HeldShard(OpenShard):
    """A whole shard in a cache, which nobody removes as long as this object lives."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, open_locked(path, SHARED))

    def touch(self) -> None:
        """Note that it is in use now."""
        os.utime(self.descriptor)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):  # not where opening failed
            close_locked(self.descriptor)


class Part:
    """A shard on its way into a cache; nobody else fetches it as long as this object lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = open_locked(path, ALONE, create=True)

    def let_go(self) -> None:
        """Leave it to others; the descriptor stays open for threads that may still write."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            close_locked(self.descriptor)
