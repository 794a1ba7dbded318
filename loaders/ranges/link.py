"""How fast a remote place answers, measured in a second or two, and what follows from it for reading ranges."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from threading import Event

from loaders.ranges.spans import LARGEST
from loaders.reading.threads import ReaderThreads
from sharding.storage import Place

ALONE = 5
"""Requests, one after the other, whose median time is the latency."""
MANY = 256
"""Threads that ask for a single byte each: their rate is what the server, the line and this machine's cores allow."""
STREAMS = 16
"""Threads that ask for long ranges: their rate is the bandwidth."""
SHORTEST, LONGEST = 1 << 16, 8 << 20
"""Bytes of the first long range, and of the longest. The next one is four times as long where one came quickly."""
QUICK_SECONDS = 0.1
WARM_SECONDS, COUNTED_SECONDS = 0.2, 0.4
"""Of each of the two measurements: connections are made, then answers are counted."""

FEWEST, MOST = 16, 512
"""Requests in flight; more threads than that cost more than they bring."""
HEADROOM = 1.5
"""Latencies scatter."""


@dataclass(frozen=True)
class Link:
    """What a remote place allows this machine."""

    latency_seconds: float
    """From a request to its answer, one at a time."""
    requests_per_second: float
    """Of requests for next to nothing, many at once."""
    bytes_per_second: float
    """Of long ranges, several at once."""

    def gap(self) -> int:
        """Bytes between two crops up to which one request for both is cheaper than two."""
        # Another request costs 1 / requests_per_second, g bytes more cost g / bytes_per_second: equal at g = B / R.
        return min(int(self.bytes_per_second / self.requests_per_second), LARGEST // 2)

    def in_flight(self) -> int:
        """Requests that have to be under way to reach the rate."""
        # Little's law: requests in flight = requests per second * seconds that each is in flight.
        least = self.requests_per_second * self.latency_seconds
        return min(max(math.ceil(HEADROOM * least), FEWEST), MOST)

    def __str__(self) -> str:
        return (
            f"{1000 * self.latency_seconds:,.1f} ms, {self.requests_per_second:,.0f} requests/s, "
            f"{self.bytes_per_second / 1e6:,.0f} MB/s"
        )


def measure(place: Place, names: Sequence[str], sizes: Sequence[int]) -> Link:
    """Measure a remote place by reading from it, for about 1.5 s; at most a few hundred MB where it is fast.

    Args:
        place: where the files are.
        names: of files, at least one that is not empty.
        sizes: their bytes.

    Raises:
        OSError, StorageError: it cannot be read.
    """
    reader = _Reader(place, [(name, size) for name, size in zip(names, sizes, strict=True) if size])
    reader.read(0, 1)  # makes the first connection
    latency = median(reader.timed(number, 1) for number in range(ALONE))
    threads = ReaderThreads(MANY)
    try:
        requests = reader.rate(threads, MANY, 1, 1)
        moved = reader.rate(threads, STREAMS, SHORTEST, LONGEST)
    finally:
        reader.over.set()
        threads.close()
    return Link(latency, requests, moved)


class _Reader:
    """Reads at places spread over all files."""

    def __init__(self, place: Place, files: Sequence[tuple[str, int]]) -> None:
        self.over = Event()
        """Set when nobody waits any more."""
        self._place = place
        self._files = files

    def read(self, number: int, length: int) -> int:
        """Read the ``number``-th range of so many bytes, or fewer where the file is shorter; gives how many."""
        name, size = self._files[number % len(self._files)]
        length = min(length, size)
        # Multiples of the golden ratio, modulo 1, fall evenly wherever they end.
        begin = int((number * 0.6180339887498949) % 1 * (size - length))
        return len(self._place.piece(name, begin, begin + length, pause=self._pause).data)

    def timed(self, number: int, length: int) -> float:
        """The seconds that takes."""
        begin = time.perf_counter()
        self.read(number, length)
        return time.perf_counter() - begin

    def rate(self, threads: ReaderThreads, count: int, shortest: int, longest: int) -> float:
        """Bytes per second that so many threads reach together, once they have connections and long enough ranges."""
        lengths = [shortest] * count
        self._read_for(WARM_SECONDS, threads, lengths, longest)
        begin = time.perf_counter()
        came = self._read_for(COUNTED_SECONDS, threads, lengths, longest)
        return came / (time.perf_counter() - begin)

    def _read_for(self, seconds: float, threads: ReaderThreads, lengths: list[int], longest: int) -> int:
        """Have each thread read one range after the other, longer ones while they come quickly; gives the bytes."""
        came = [0] * len(lengths)
        end = time.perf_counter() + seconds

        def work(thread: int) -> None:
            number, now = thread, 0.0
            while now < end:
                asked = time.perf_counter()
                came[thread] += self.read(number, lengths[thread])
                now = time.perf_counter()
                if now - asked < QUICK_SECONDS:
                    lengths[thread] = min(4 * lengths[thread], longest)
                number += len(lengths)

        for future in [threads.submit(partial(work, thread)) for thread in range(len(lengths))]:
            future.result()
        return sum(came)

    def _pause(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise InterruptedError
