"""Crops from remote shards: only their bytes are asked for, by hundreds of requests at once.

An answer takes tens of milliseconds however short it is, so the rate is the number of requests under way divided by
that time. A thread waits for each: obstore lets go of the interpreter's lock meanwhile, and its asynchronous calls,
which need no threads, take twice the processor time, and abort the interpreter where it ends with some under way.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread

import numpy as np

from clmr.errors import ClmrError, ConfigError, ShardError, StorageError
from loaders.meter import Meter
from loaders.source import Reads, Source
from loaders.spans import Spans, join
from loaders.threads import ProcessGuard
from sharding.storage import Place, Version

IN_FLIGHT = 256
"""Requests under way at once, where nothing is known of the link."""
GAP = 1 << 17
"""Bytes between two crops that are rather read than left out, where nothing is known of the link."""
CLOSING_SECONDS = 1.0
"""How long closing waits for requests that are under way."""


class _GivenUpError(Exception):
    """Nobody waits for it any more."""


class _Shards:
    """The remote shards of a source, and how they are read."""

    def __init__(self, place: Place, names: Sequence[str], sizes: Sequence[int]) -> None:
        self.place = place
        self.names = tuple(names)
        self.sizes = tuple(sizes)
        self.meter = Meter()
        self.stopped = Event()
        self._versions: dict[int, Version] = {}

    def read(self, shard: int, begin: int, end: int, waiting: Future[None]) -> memoryview:
        """Bytes of a shard, of the version that was read first.

        Raises:
            ShardError: it never was the shard that the manifest names.
            StorageError: it was replaced since, or cannot be read.
            _GivenUpError: nobody is waiting any more.
        """

        def pause(seconds: float) -> None:
            self.meter.add(retries=1)
            if self.stopped.wait(seconds) or waiting.done():
                raise _GivenUpError

        address = self.place.address(self.names[shard])
        try:
            piece = self.place.piece(self.names[shard], begin, end, pause=pause)
        except FileNotFoundError:
            raise StorageError(f"{address}: there is no such file; copy the shard there or build it again") from None
        except OSError as error:
            raise StorageError(f"{address}: {error.strerror or error}") from None
        if piece.version.size != self.sizes[shard] and shard not in self._versions:
            raise ShardError(
                f"{address} has {piece.version.size} bytes, not {self.sizes[shard]}: copy or build it again"
            )
        if self._versions.setdefault(shard, piece.version) != piece.version:
            raise StorageError(
                f"{address}: was replaced while in use; start again, from a checkpoint of the same shards"
            )
        if len(piece.data) != end - begin:
            raise StorageError(f"{address}: {len(piece.data)} bytes came instead of {end - begin}")
        return memoryview(piece.data)


class _Block:
    """The requests of one submission. Its future can be cancelled until the last one is answered."""

    def __init__(self, shards: _Shards, reads: Sequence[Reads], spans: Spans) -> None:
        self.future: Future[None] = Future()
        self._shards = shards
        self._slabs = [some.slab.crops for some in reads]
        self._size = self._slabs[0].shape[1]
        self._spans = list(zip(spans.shard.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True))
        self._first = spans.first.tolist()
        slab = np.repeat(np.arange(len(reads)), [len(some) for some in reads])
        self._slab = slab[spans.order].tolist()
        self._row = np.concatenate([some.row for some in reads])[spans.order].tolist()
        self._offset = np.concatenate([some.offset for some in reads])[spans.order].tolist()
        self._left = len(self._spans)
        self._lock = Lock()

    def fetch(self, number: int) -> None:
        """Have one request answered and its pieces copied to their rows."""
        if self.future.done():
            self._settle()
            return
        shard, begin, end = self._spans[number]
        asked = time.perf_counter()
        try:
            data = self._shards.read(shard, begin, end, self.future)
        except _GivenUpError:
            self.future.cancel()
        except BaseException as error:  # handed to whoever waits for it
            with suppress(InvalidStateError):  # another request has failed already, or it was cancelled
                self.future.set_exception(error)
        else:
            pieces = range(self._first[number], self._first[number + 1])
            for piece in pieces:
                start = self._offset[piece] - begin
                self._slabs[self._slab[piece]][self._row[piece]] = data[start : start + self._size]
            self._shards.meter.add(
                wanted=len(pieces) * self._size, read=end - begin, seconds=time.perf_counter() - asked
            )
        self._settle()

    def _settle(self) -> None:
        """One request fewer; with the last one the future gets its result."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        with suppress(InvalidStateError):
            self.future.set_result(None)
        
