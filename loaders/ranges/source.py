"""Crops from remote shards: only their bytes are asked for, by hundreds of requests at once.

An answer takes tens of milliseconds however short it is, so the rate is the number of requests under way divided by
that time. A thread waits for each: obstore lets go of the interpreter's lock meanwhile, and its asynchronous calls,
which need no threads, take twice the processor time, and abort an interpreter that ends with some under way.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread

from clmr.errors import ConfigError
from loaders.ranges.block import Block
from loaders.ranges.shards import RemoteShards
from loaders.reading.meter import Meter
from loaders.reading.source import Reads, Source
from loaders.reading.threads import ProcessGuard, join_all
from sharding.storage import Place

IN_FLIGHT = 256
"""Requests under way at once, where nothing is known of the link."""
GAP = 1 << 17
"""Bytes between two crops that are rather read than left out, where nothing is known of the link."""
CLOSING_SECONDS = 1.0
"""How long closing waits for requests that are under way."""

_Jobs = SimpleQueue["tuple[Block, int] | None"]


class RangesSource(Source):
    """Shards in a bucket or on a web server.

    Threads ask for the pieces in the order of submission. What can pass is repeated for 2 minutes; every answer has to
    be of the version of its shard that came first. Ends with :meth:`close`, with the last reference, or at exit.

    Args:
        place: where the shards are.
        names: of the shards, by number.
        sizes: their bytes, as the manifest says.
        in_flight: requests under way at once, and threads.
        gap: most bytes between two pieces of one request.

    Attributes:
        place: where the shards are.
        names: of the shards.
        in_flight: requests under way at once.
        gap: most bytes between two pieces of one request.
    """

    def __init__(
        self, place: Place, names: Sequence[str], sizes: Sequence[int], *, in_flight: int = IN_FLIGHT, gap: int = GAP
    ) -> None:
        if in_flight < 1:
            raise ConfigError(f"requests in flight are {in_flight}: at least 1 is needed")
        self.place = place
        self.names = tuple(names)
        self.in_flight = in_flight
        self.gap = gap
        self.meter = Meter()
        self._shards = RemoteShards(place, self.names, sizes, self.meter)
        self._guard = ProcessGuard()
        self._work = _Work(self._shards)
        self._finalizer = weakref.finalize(self, self._work.stop)

    def submit(self, reads: Sequence[Reads]) -> list[Future[None]]:
        """Ask for the pieces, those that lie close together by one request.

        Returns:
            One future; it can be cancelled until the last answer is there, and then the rest is not asked for. An
            answer that is under way may still be written to its rows.

        Raises:
            ConfigError: after :meth:`close`, or in a forked child.
        """
        self._guard.check()
        reads = [some for some in reads if len(some)]
        if not reads:
            return []
        block = Block(self._shards, reads, self.gap)
        self._work.put(block, self.in_flight)
        return [block.future]

    def close(self) -> None:
        """Ask for nothing any more; what is not answered yet is cancelled."""
        self._finalizer()


class _Work:
    """Requests in the order of submission, and the threads that make them."""

    def __init__(self, shards: RemoteShards) -> None:
        self._shards = shards
        self._jobs: _Jobs = SimpleQueue()
        self._threads: list[Thread] = []
        self._blocks: weakref.WeakSet[Block] = weakref.WeakSet()
        self._lock = Lock()

    def put(self, block: Block, in_flight: int) -> None:
        """Have the requests of a block made."""
        with self._lock:
            if self._shards.stopped.is_set():
                raise ConfigError("this loader is closed: make a new one")
            self._blocks.add(block)
            for number in range(len(block)):
                self._jobs.put((block, number))
            while len(self._threads) < in_flight:
                name = f"range-reader-{len(self._threads)}"
                self._threads.append(Thread(target=_ask, args=(self._jobs,), name=name, daemon=True))
                self._threads[-1].start()

    def stop(self) -> None:
        """Cancel everything and end the threads; one whose server does not answer is left alone."""
        with self._lock:
            self._shards.stopped.set()
            for block in list(self._blocks):
                block.future.cancel()
            for _ in self._threads:
                self._jobs.put(None)
        join_all(self._threads, CLOSING_SECONDS)


def _ask(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        block, number = job
        block.fetch(number)
        del job, block  # an idle thread holds no batch
