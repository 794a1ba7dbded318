"""Who uses a cache: every job states what it needs at least, and all of that together must fit.

A batch is read when all its shards are in the cache at once. Two jobs that each held half of the cache and waited for
the other half would wait for ever. So a job begins by stating how many bytes its batches can need at once, and is
refused if that does not fit beside what the others stated. What is left is divided evenly for fetching ahead, and
shards fetched ahead are let go again where a batch of anybody's waits for room. With that every batch gets its shards.

A statement is a file; it counts as long as a process of the job holds a lock on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from threading import Lock

from clmr.errors import ConfigError, StorageError
from loaders.cache.folder import CacheFolder, in_units, size_option
from loaders.cache.locks import SHARED, close_locked, is_held, open_locked

RECORD_BYTES = 256  # of a statement: written by one call, so never seen half written


@dataclass(frozen=True)
class Statement:
    """What a job needs."""

    minimum: int
    """Bytes of shards that its batches can need at once."""
    limit: int
    """Most bytes that it lets the cache hold."""


@dataclass(frozen=True)
class Situation:
    """What a job may do now."""

    share: int
    """Bytes it may hold, those fetched ahead included."""
    pressed: bool
    """Somebody's batch waits for room: nothing is to be fetched ahead."""
    jobs: int
    """Jobs on this cache."""
    limit: int
    """Most bytes that the cache may hold: the smallest limit of all jobs."""


def launched_together(environment: Mapping[str, str]) -> str:
    """What the ranks of one job on this machine have in common, "" for a process on its own.

    Args:
        environment: variables that torchrun and other launchers of ranks set; no two jobs on a machine share a port.
    """
    if environment.get("WORLD_SIZE", "1") == "1" or not environment.get("MASTER_PORT"):
        return ""
    names = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
    return " ".join(environment.get(name, "") for name in names)


class Membership:
    """A job's statement, as long as this object is not closed. For one thread at a time.

    Args:
        folder: of the cache.
        data: names the data that is read; ranks of one job on the same data make one statement together.
        statement: what is needed.

    Raises:
        ConfigError: it does not fit beside what other jobs need.
    """

    def __init__(self, folder: CacheFolder, data: str, statement: Statement) -> None:
        self._folder = folder
        self._slot = _take_slot(data)
        self._path = folder.jobs / f"{hashlib.blake2b(self._slot.encode(), digest_size=20).hexdigest()}.job"
        self._waiting_path = folder.jobs / "waiting"
        self._descriptor: int | None = None
        self._waiting: int | None = None
        self.minimum = 0
        try:
            self.need(statement)
        except BaseException:
            self.close()
            raise

    def need(self, statement: Statement) -> None:
        """State at least this much.

        Raises:
            ConfigError: it does not fit beside what other jobs need.
        """
        with self._folder.locked():
            others = self._alive()
            own = others.pop(self._path.name, statement)
            minimum, limit = max(own.minimum, statement.minimum), min(own.limit, statement.limit)
            self._check(Statement(minimum, limit), list(others.values()))
            if self._descriptor is None:
                self._descriptor = open_locked(self._path, SHARED, create=True)
            record = json.dumps({"minimum": minimum, "limit": limit}).ljust(RECORD_BYTES)
            os.pwrite(self._descriptor, record.encode(), 0)
        self.minimum = minimum

    def _check(self, own: Statement, others: list[Statement]) -> None:
        limit = min(statement.limit for statement in (own, *others))
        taken = sum(statement.minimum for statement in others)
        needed = own.minimum + taken
        if needed <= limit:
            return
        beside = f", beside the {in_units(taken)} that other jobs on it need ({len(others)})" if others else ""
        remedy = f"raise --cache-size to {size_option(needed)} or more"
        if any(statement.limit < needed for statement in others):
            remedy += " for every job that uses it"
        raise ConfigError(
            f"the cache {self._folder.root} may hold {in_units(limit)}, and this job needs at least "
            f"{in_units(own.minimum)} of shards at once{beside}: {remedy}, give "
            "a smaller --window, or another folder with --cache"
        )

    def situation(self) -> Situation:
        """What this job may do now. Under the lock of the folder."""
        alive = self._alive()
        if self._path.name not in alive:
            raise StorageError(f"{self._folder.root}: the cache was removed while in use; start again")
        limit = min(statement.limit for statement in alive.values())
        left = limit - sum(statement.minimum for statement in alive.values())
        share = alive[self._path.name].minimum + max(left, 0) // len(alive)
        return Situation(share, is_held(self._waiting_path), len(alive), limit)

    def wait_for_room(self, *, waiting: bool) -> None:
        """Say whether a batch of this job waits for room that others hold."""
        if waiting and self._waiting is None:
            with self._folder.locked():
                self._waiting = open_locked(self._waiting_path, SHARED, create=True)
        elif not waiting and self._waiting is not None:
            close_locked(self._waiting)
            self._waiting = None

    def _alive(self) -> dict[str, Statement]:
        """The statements of all jobs; those of jobs that ended are removed."""
        found: dict[str, Statement] = {}
        for path in self._folder.jobs.glob("*.job"):
            if is_held(path):
                found[path.name] = Statement(**json.loads(path.read_bytes()))
            else:
                path.unlink(missing_ok=True)
        return found

    def close(self) -> None:
        """Withdraw the statement, as far as this process goes."""
        descriptors = [descriptor for descriptor in (self._descriptor, self._waiting) if descriptor is not None]
        self._descriptor = self._waiting = None
        for descriptor in descriptors:
            close_locked(descriptor)
        _slots.discard(self._slot)
        if descriptors:
            with suppress(OSError, StorageError), self._folder.locked():
                self._alive()  # the statement goes with the last of its processes


_slots: set[str] = set()  # of this process
_slots_lock = Lock()


def _take_slot(data: str) -> str:
    """The n-th job on this data in this process: the ranks that were launched together agree on it."""
    together = launched_together(os.environ) or uuid.uuid4().hex
    with _slots_lock:
        slot = next(name for n in count() if (name := f"{together} {data} {n}") not in _slots)
        _slots.add(slot)
    return slot
