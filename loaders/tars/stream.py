"""Shards as files to read from front to back. Remote ones come in ranges, several at a time, ahead of the reader."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from threading import Event, Lock
from typing import Protocol

from clmr.errors import ShardError
from loaders.reading.meter import Meter
from loaders.reading.threads import ReaderThreads
from sharding.format import ShardInfo
from sharding.storage import Place, Version

RANGE = 8 << 20
"""Bytes of a request: long enough for a fast line, and within its time limit on a slow one."""
CONNECTIONS = 8
"""Requests under way at once, where the user names no number."""
LOOK_SECONDS = 0.2
"""How often a waiting reader looks whether it should stop."""


class StoppedError(Exception):
    """Nobody waits for these bytes any more."""


class Stream(Protocol):
    """A file, as far as the tar reader needs it."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


class Streams:
    """The shards of a place.

    Args:
        place: where they are.
        threads: who fetches ranges; None for a folder on a file system, which reads ahead itself.
        meter: counts what was fetched; files on this machine are not counted here.
    """

    def __init__(self, place: Place, threads: ReaderThreads | None, meter: Meter) -> None:
        self._place = place
        self._threads = threads
        self._meter = meter
        self._versions: dict[str, Version] = {}
        self._lock = Lock()

    def open(self, shards: Sequence[ShardInfo], stopped: Event) -> Iterator[tuple[ShardInfo, Stream]]:
        """Each shard with a stream of its bytes, valid until the next one is asked for.

        What goes wrong in a read comes as an OSError that says so; what it was is in :func:`failure_of`.

        Raises:
            ShardError: a shard is missing, of another size than the manifest says, or was replaced.
        """
        if self._threads is None:
            return self._files(shards)
        return self._ranges(shards, self._threads, stopped)

    def _files(self, shards: Sequence[ShardInfo]) -> Iterator[tuple[ShardInfo, Stream]]:
        root = self._place.root
        assert root is not None
        for shard in shards:
            self._check(shard)
            try:
                file = (root / shard.name).open("rb", buffering=0)  # the tar reader has a buffer of its own
            except OSError as error:
                raise ShardError(f"{self._place.address(shard.name)} cannot be opened: {error.strerror}") from error
            with file:
                yield shard, file

    def _ranges(
        self, shards: Sequence[ShardInfo], threads: ReaderThreads, stopped: Event
    ) -> Iterator[tuple[ShardInfo, Stream]]:
        waiting = ((shard, begin) for shard in shards for begin in range(0, shard.bytes, RANGE))
        ahead: deque[_Piece] = deque()

        def pieces(shard: ShardInfo) -> Iterator[memoryview]:
            for _ in range(0, shard.bytes, RANGE):
                while len(ahead) < threads.count + 2 and (following := next(waiting, None)) is not None:
                    ahead.append(self._ask(*following, threads))
                yield ahead.popleft().fetched(stopped)

        try:
            for shard in shards:
                own = pieces(shard)
                yield shard, _RangeStream(own)
                for _ in own:  # behind the end of the tar
                    pass
        finally:
            for piece in ahead:
                piece.future.cancel()

    def _ask(self, shard: ShardInfo, begin: int, threads: ReaderThreads) -> _Piece:
        piece = _Piece()
        piece.future = threads.submit(partial(self._fetch, shard, begin, piece))
        return piece

    def _fetch(self, shard: ShardInfo, begin: int, piece: _Piece) -> None:
        version = self._check(shard)
        asked = time.perf_counter()
        piece.data = memoryview(self._place.fetch(shard.name, begin, min(begin + RANGE, shard.bytes), version))
        self._meter.add(read=len(piece.data), seconds=time.perf_counter() - asked)

    def _check(self, shard: ShardInfo) -> Version:
        """What the shard is; asked for once on a server, which then refuses another one by itself."""
        address = self._place.address(shard.name)
        with self._lock:
            version = self._versions.get(shard.name)
            if version is not None and self._threads is not None:
                return version
            try:
                found = self._place.version(shard.name)
            except FileNotFoundError as error:
                raise ShardError(f"{address} is missing; copy or build it again") from error
            if found.size != shard.bytes:
                raise ShardError(f"{address} has {found.size} bytes, not {shard.bytes}: copy or build it again")
            if self._versions.setdefault(shard.name, found) != found:
                raise ShardError(f"{address} was replaced while in use; start again with the shards as they are now")
            return found


class _Piece:
    """A range under way."""

    future: Future[None]

    def __init__(self) -> None:
        self.data = memoryview(b"")

    def fetched(self, stopped: Event) -> memoryview:
        """The bytes, when they are there."""
        while not stopped.is_set():
            if wait([self.future], LOOK_SECONDS).done:
                if self.future.cancelled():  # the threads are closed
                    break
                self.future.result()
                return self.data
        raise StoppedError


class _RangeStream:
    """One shard."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")
        self.failure: Exception | None = None

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        if not self._left:
            try:
                self._left = next(self._pieces, self._left)
            except Exception as error:
                self.failure = error
                raise OSError("the stream broke off") from error
        part, self._left = self._left[:size], self._left[size:]
        return bytes(part)


def failure_of(stream: Stream) -> Exception | None:
    """What broke a stream off; kept apart because webdataset writes into the exceptions that pass through it."""
    return stream.failure if isinstance(stream, _RangeStream) else None
