"""Whole shards from far away: many ranges at once, written where they belong and hashed from front to back."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Condition, Event, Lock, Thread

from clmr.errors import StorageError
from loaders.cache.folder import RemoteShard
from loaders.cache.locks import Part
from loaders.reading.meter import Meter
from loaders.reading.threads import join_all
from sharding.storage import Place, Version

RANGE = 8 << 20
"""Bytes of a request: long enough for a fast line, and within the time limit of a request on a slow one."""
REQUESTS = 16
"""Requests in flight."""
ENDING_SECONDS = 1.0
"""How long the end of a process waits for its requests."""

Job = Callable[[], None]


class StoppedError(Exception):
    """Nobody is waiting any more."""


class Requests:
    """Daemon threads for requests; those that are to come first, and then the others, in their order."""

    def __init__(self, count: int, *, idle: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            count: of threads.
            idle: called when a thread takes one of the last jobs; it must not block.
        """
        self.count = count
        self._idle = idle
        self._first: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._condition = Condition()
        self._stopped = Event()
        self.threads = [Thread(target=self._work, name=f"shard-request-{n}", daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def submit(self, job: Job, *, first: bool = False) -> None:
        """Do a job, which must not raise."""
        with self._condition:
            (self._first if first else self._others).append(job)
            self._condition.notify()

    def is_busy(self) -> bool:
        """Whether more waits than the threads can take up at once."""
        return len(self._others) >= self.count

    def pause(self, seconds: float) -> None:
        """Wait before a request is repeated.

        Raises:
            StoppedError: it is not to be repeated any more.
        """
        if self._stopped.wait(seconds):
            raise StoppedError

    def close(self) -> None:
        """Forget what waits; what is in flight gets a moment to end."""
        with self._condition:
            self._stopped.set()
            self._first.clear()
            self._others.clear()
            self._condition.notify_all()
        join_all(self.threads, ENDING_SECONDS)

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (self._first or self._others or self._stopped.is_set()):
                    self._condition.wait()
                if self._stopped.is_set():
                    return
                job = (self._first or self._others).popleft()
            if not self.is_busy():
                self._idle()
            job()
            del job


class Download:
    """A shard on its way into its part.

    Args:
        place: the folder of the shards.
        name: of the shard in it.
        shard: its version.
        part: where it goes.
        requests: who fetches.
        meter: counts the ranges.
        finished: called once, with the error where there was one.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        shard: RemoteShard,
        part: Part,
        requests: Requests,
        meter: Meter,
        finished: Callable[[Exception | None], None],
    ) -> None:
        self.part = part
        self._place = place
        self._name = name
        self._shard = shard
        self._requests = requests
        self._meter = meter
        self._finished = finished
        self._ranges = [(begin, min(begin + RANGE, shard.size)) for begin in range(0, shard.size, RANGE)]
        self._buffer = memoryview(bytearray(min(RANGE, shard.size)))  # for the one thread that hashes
        self._lock = Lock()
        self._over = False
        self._tries = 0
        self._start()

    def _start(self) -> None:
        """Ask for all ranges, in order."""
        self._there = [False] * len(self._ranges)
        self._hashed = 0  # ranges
        self._hashing = False
        self._digest = hashlib.sha256()
        self._tries += 1
        for number in range(len(self._ranges)):
            self._requests.submit(partial(self._fetch, number))

    def _fetch(self, number: int) -> None:
        if self._over:
            return
        begin, end = self._ranges[number]
        version = Version(self._shard.size, self._shard.tag)
        asked = time.perf_counter()
        try:
            data = memoryview(self._place.fetch(self._name, begin, end, version, pause=self._pause))
            self._meter.add(read=end - begin, seconds=time.perf_counter() - asked, retries=int(self._tries > 1))
            while data:
                data = data[os.pwrite(self.part.descriptor, data, end - len(data)) :]
            whole = self._hash(number)
        except StoppedError:
            return
        except Exception as error:
            self._end(error)
            return
        if whole:
            self._check()

    def _pause(self, seconds: float) -> None:
        self._meter.add(retries=1)
        self._requests.pause(seconds)

    def _hash(self, number: int) -> bool:
        """Hash what has come in one piece from the front, unless another thread is at it; whether it is all of it."""
        with self._lock:
            self._there[number] = True
            if self._hashing:
                return False
            self._hashing = True
        while True:
            with self._lock:
                if self._hashed == len(self._ranges) or not self._there[self._hashed] or self._over:
                    self._hashing = False
                    return self._hashed == len(self._ranges)
            begin, end = self._ranges[self._hashed]
            target = self._buffer[: end - begin]
            filled = 0
            while filled < len(target):  # from the file, so that what was written is what is checked
                count = os.preadv(self.part.descriptor, [target[filled:]], begin + filled)
                if not count:
                    raise StorageError(f"{self.part.path} was cut while {self._shard.url} came into it; start again")
                filled += count
            self._digest.update(target)
            with self._lock:
                self._hashed += 1

    def _check(self) -> None:
        found = self._digest.hexdigest()
        if found == self._shard.sha256:
            self._end(None)
        elif self._tries == 1:
            self._start()
        else:
            self._end(
                StorageError(
                    f"{self._shard.url}: came twice with the SHA-256 {found[:16]}..., manifest.json says "
                    f"{self._shard.sha256[:16]}...: it is damaged where it lies, copy or build it again"
                )
            )

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        self._finished(error)
