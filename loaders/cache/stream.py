"""Remote shards through a cache on a local disk: they arrive whole, ahead of use, and crops are read from the files."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock

import numpy as np

from clmr.errors import ClmrError, ConfigError
from loaders.cache.arrivals import Shelf
from loaders.cache.fetch import REQUESTS
from loaders.cache.folder import in_units
from loaders.cache.keeper import CLOSED, Keeper
from loaders.cache.store import ShardCache
from loaders.reading.local import LocalSource
from loaders.reading.meter import Meter
from loaders.reading.source import Reads, Source
from loaders.reading.threads import ReaderThreads
from sharding.storage import Place


class StreamSource(Source):
    """Whole shards, fetched into a cache ahead of use and read there.

    A batch is read as soon as its own shards are there. What :meth:`expect` announces is fetched in that order, as far
    ahead as the cache has room.

    Args:
        place: folder of the shards.
        names: of the shards in it.
        sizes: bytes of each.
        hashes: SHA-256 of each.
        cache: where they go.
        threads: who reads; they stay the caller's to close.
        at_once: shards that the batches under way on all ranks can need at the same time; the cache must have room for
            the largest so many.
        requests: for ranges of 8 MiB in flight.

    Attributes:
        minimum: bytes of the cache that are needed at least.
        description: one line for people.

    Raises:
        ConfigError: the cache is too small, or other jobs need what it can hold.
    """

    def __init__(
        self,
        place: Place,
        names: Sequence[str],
        sizes: Sequence[int],
        hashes: Sequence[str],
        *,
        cache: ShardCache,
        threads: ReaderThreads,
        at_once: int,
        requests: int = REQUESTS,
    ) -> None:
        self.meter = Meter()
        shelf = Shelf(place, names, sizes, hashes)
        self._keeper = Keeper(shelf, cache, at_once=at_once, requests=requests, meter=self.meter)
        self._local = LocalSource(self._keeper, threads)
        self.minimum = self._keeper.minimum
        self.description = (
            f"whole shards through the cache {cache.root} of {in_units(cache.limit_bytes)}, "
            f"of which {in_units(self.minimum)} are needed at least"
        )
        self._close = weakref.finalize(self, self._keeper.close)

    def expect(self, shards: Sequence[int]) -> None:
        """Fetch these ahead, in this order; let go of others that no batch under way needs."""
        self._keeper.expect(shards)

    def submit(self, reads: Sequence[Reads]) -> list[Future[None]]:
        """Read each of these when its shards are there; nothing waits here."""
        futures = []
        for some in reads:
            self.meter.add(wanted=len(some) * some.slab.crops.shape[1])
            futures.append(_Reading(some, self._keeper, self._local).future)
        return futures

    def close(self) -> None:
        """Stop fetching, let go of the shards. What was not read yet fails."""
        self._close()


class _Reading:
    """Reads that wait for their shards, then for the threads."""

    def __init__(self, reads: Reads, keeper: Keeper, local: LocalSource) -> None:
        self.future: Future[None] = Future()
        self._reads = reads
        self._local = local
        self._lock = Lock()
        self._left = 0  # parts that are not read yet
        self._error: BaseException | None = None
        want = keeper.want(np.unique(reads.shard).tolist(), self._start)
        self.future.add_done_callback(lambda _: keeper.done(want))

    def _start(self, error: Exception | None) -> None:
        """The shards are there, or will not be."""
        if not self.future.set_running_or_notify_cancel():
            return
        if isinstance(error, ClmrError):  # several batches may wait for one shard; each raises an error of its own
            error = type(error)(*error.args)
        try:
            parts = self._local.submit([self._reads]) if error is None else []
        except ConfigError as refusal:
            parts, error = [], refusal
        if error is not None:
            self.future.set_exception(error)
            return
        self._left = len(parts)
        for part in parts:
            part.add_done_callback(self._end)
        if not parts:
            self.future.set_result(None)

    def _end(self, part: Future[None]) -> None:
        """Some of the rows are read; nobody writes to the slab any more when all are."""
        error = ConfigError(CLOSED) if part.cancelled() else part.exception()
        with self._lock:
            self._left -= 1
            self._error = self._error or error
            if self._left:
                return
        if self._error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self._error)
