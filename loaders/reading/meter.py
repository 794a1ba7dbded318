"""What reading cost: bytes wanted and moved, requests and how long they took. Any number of threads may count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import numpy.typing as npt

EDGES = np.logspace(-6, 3, 9 * 20 + 1)
"""Bounds in seconds of the latency histogram, 1 us to 1000 s, 20 to a decade: a percentile is exact to 6 %."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Sums since a meter was made, or between two readings of it."""

    wanted: int
    """Bytes of crops that were asked for."""
    read: int
    """Bytes that came for them: more where close crops share a request or whole shards are fetched."""
    requests: int
    """Requests to a server, or calls of the system."""
    retries: int
    """Requests that had to be made again."""
    latencies: npt.NDArray[np.int64]
    """Requests by duration, counted between :data:`EDGES`."""

    def __sub__(self, earlier: Counts) -> Counts:
        """What happened between two readings."""
        return Counts(
            self.wanted - earlier.wanted,
            self.read - earlier.read,
            self.requests - earlier.requests,
            self.retries - earlier.retries,
            self.latencies - earlier.latencies,
        )

    def __add__(self, other: Counts) -> Counts:
        """Two meters' counts together."""
        return Counts(
            self.wanted + other.wanted,
            self.read + other.read,
            self.requests + other.requests,
            self.retries + other.retries,
            self.latencies + other.latencies,
        )

    def percentile(self, share: float) -> float | None:
        """Seconds within which this share (0 to 1) of the requests was answered; None where there was none."""
        total = int(self.latencies.sum())
        if total == 0:
            return None
        reached = int(np.searchsorted(np.cumsum(self.latencies), share * total))
        return float(EDGES[min(reached + 1, len(EDGES) - 1)])


NOTHING = Counts(0, 0, 0, 0, np.zeros(len(EDGES) - 1, dtype=np.int64))


class Meter:
    """Counts requests."""

    def __init__(self) -> None:
        self._counts = replace(NOTHING, latencies=NOTHING.latencies.copy())
        self._lock = Lock()

    def add(self, *, wanted: int = 0, read: int = 0, seconds: float | None = None, retries: int = 0) -> None:
        """Count bytes, and with ``seconds`` one request that took so long."""
        with self._lock:
            now = self._counts
            if seconds is not None:
                now.latencies[min(max(int(np.searchsorted(EDGES, seconds)) - 1, 0), len(EDGES) - 2)] += 1
            self._counts = Counts(
                now.wanted + wanted,
                now.read + read,
                now.requests + (seconds is not None),
                now.retries + retries,
                now.latencies,
            )

    def counts(self) -> Counts:
        """The sums so far."""
        with self._lock:
            return replace(self._counts, latencies=self._counts.latencies.copy())
