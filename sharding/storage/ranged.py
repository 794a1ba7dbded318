"""A remote file to read at any position, by requests for ranges of bytes.

A read at a new place asks for a small block; reads that go on from there ask for twice as much each time, up to
8 MiB, and from then on the next ranges are fetched while one is used. A header costs one request, a tar streams at
the speed of several connections.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from clmr.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 16
"""Bytes of a read at a new place."""
RANGE = 8 << 20
"""Most bytes of one request: within its time limit on a slow line, and long enough for a fast one."""
AHEAD = 2
"""Ranges fetched ahead of the one in use."""
KEPT = 16
"""Ranges kept, at most; together no more than the ranges of a stream, 32 MiB."""

Fetch = Callable[[int, int], memoryview]
"""Bytes from a position to another; the file has to be long enough."""


class RangedFile(io.RawIOBase):
    """A file behind requests for ranges; wrap it in :class:`io.BufferedReader`. Not for several threads at once."""

    def __init__(self, fetch: Fetch, size: int, start: memoryview) -> None:
        """Open the file.

        Args:
            fetch: gets a range.
            size: bytes of the file.
            start: its first bytes, as far as they were fetched already.
        """
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._window = max(len(start), BLOCK)
        self._end = len(start)  # of the range asked for last: reads that come from there are a stream
        self._ranges: dict[tuple[int, int], Future[memoryview]] = {(0, len(start)): _done(start)}
        self._process = os.getpid()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readall(self) -> bytes:
        """The bytes from here to the end."""
        parts = []
        while part := self._next(self._size - self._position):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer as far as one range reaches; 0 at the end of the file."""
        wanted = memoryview(buffer).cast("B")
        part = self._next(len(wanted))
        wanted[: len(part)] = part
        return len(part)

    def _next(self, wanted: int) -> memoryview:
        """At most so many bytes from the position on, at least one unless it is the end."""
        self._checkClosed()
        if os.getpid() != self._process:
            raise StorageError("a file in a bucket was opened before this process was forked; open it again here")
        if self._position >= self._size or wanted <= 0:
            return memoryview(b"")
        start, data = self._range(wanted)
        part = data[self._position - start :][:wanted]
        self._position += len(part)
        return part

    def close(self) -> None:
        """Forget what was read."""
        for future in self._ranges.values():
            future.cancel()
        self._ranges.clear()
        super().close()

    def _range(self, wanted: int) -> tuple[int, memoryview]:
        """A range that holds the position, and where it starts."""
        at = self._position
        key = next((key for key in self._ranges if key[0] <= at < key[1]), None)
        if key is None:
            stream = at == self._end
            window = max(min(2 * self._window, RANGE) if stream else BLOCK, min(wanted, RANGE))
            start = at if stream else at - at % BLOCK
            key = (start, min(start + window, self._size))
            self._window, self._end = window, key[1]
            self._keep(key, _done(self._fetch(*key)))
        else:
            self._keep(key, self._ranges.pop(key))  # used last
        if self._window >= RANGE:
            while self._end < min(self._size, key[1] + AHEAD * RANGE):
                ahead = (self._end, min(self._end + RANGE, self._size))
                self._keep(ahead, _pool().submit(self._fetch, *ahead))
                self._end = ahead[1]
        try:
            return key[0], self._ranges[key].result()
        except BaseException:
            del self._ranges[key]  # the next read asks again
            self._end = -1
            raise

    def _keep(self, key: tuple[int, int], future: Future[memoryview]) -> None:
        self._ranges[key] = future
        held = sum(end - start for start, end in self._ranges)
        while len(self._ranges) > KEPT or held > (AHEAD + 2) * RANGE:
            oldest = next(iter(self._ranges))
            self._ranges.pop(oldest).cancel()
            held -= oldest[1] - oldest[0]


def _done(data: memoryview) -> Future[memoryview]:
    future: Future[memoryview] = Future()
    future.set_result(data)
    return future


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads that read ahead, for all files of this process."""
    return ThreadPoolExecutor(8, thread_name_prefix="read-ahead")
