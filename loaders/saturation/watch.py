"""A run watched: what the device waited for and what reading moved, at next to no cost."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace

import torch

from loaders.batch import Batch
from loaders.pairs import PairLoader
from loaders.saturation.cpu import CpuClock, available_cores
from loaders.saturation.figures import LoaderAlone, RankSpeeds, Traffic
from loaders.saturation.measure import endless, synchronise
from sharding.format import SAMPLE_BYTES


class Waiting(ABC):
    """Seconds in which the device could not go on for want of a batch."""

    @abstractmethod
    def begin(self) -> None:
        """A batch is asked for."""

    @abstractmethod
    def end(self) -> None:
        """It is there."""

    @abstractmethod
    def seconds(self) -> float:
        """All of them so far."""


class HostWaiting(Waiting):
    """Where the host computes: it waits as long as it waits."""

    def __init__(self) -> None:
        self._seconds = self._begin = 0.0

    def begin(self) -> None:
        """A batch is asked for."""
        self._begin = time.perf_counter()

    def end(self) -> None:
        """It is there."""
        self._seconds += time.perf_counter() - self._begin

    def seconds(self) -> float:
        """All of them so far."""
        return self._seconds


class DeviceWaiting(Waiting):
    """Where a GPU computes: the host runs ahead of it, so its own waiting says little.

    The GPU reaches the first event when all work before it is done, and the second when the batch is copied; what lies
    between, it had nothing to do.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = 0.0
        self._begin: torch.cuda.Event | None = None
        self._pairs: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    def begin(self) -> None:
        """A batch is asked for."""
        self._begin = self._mark()

    def end(self) -> None:
        """It is there, or the stream waits for its copy."""
        assert self._begin is not None
        self._pairs.append((self._begin, self._mark()))

    def seconds(self) -> float:
        """Those of the steps that the device has reached; it is not waited for."""
        while self._pairs and self._pairs[0][1].query():
            begin, end = self._pairs.popleft()
            self._seconds += begin.elapsed_time(end) / 1e3
        return self._seconds

    def _mark(self) -> torch.cuda.Event:
        """The moment when the device has done what it was given up to here."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


class _Readings:
    """All sums at one moment."""

    def __init__(self, loader: PairLoader, waiting: Waiting, pairs: int) -> None:
        self.time = time.perf_counter()
        self.waited = waiting.seconds()
        self.counts = loader.counts()
        self.uploading = loader.upload_seconds
        self.pairs = pairs


class SaturationLog:
    """Hands a loader's batches to a training loop and keeps the account.

    ::

        log = SaturationLog(loader)
        for _ in range(steps):
            batch = log.take()
            train(batch)
            log.stepped()
        print(Saturation.of([log.speeds()]).table())

    The account begins after the first step: what is waited for before it is the pipeline filling.

    Args:
        loader: where batches come from.
        consumer_alone: pairs per second of this rank's consumer without a loader, where that was measured.
        loader_alone: the loader without a consumer, likewise.
        rank: of this process.
    """

    def __init__(
        self,
        loader: PairLoader,
        *,
        consumer_alone: float | None = None,
        loader_alone: LoaderAlone | None = None,
        rank: int = 0,
    ) -> None:
        self._loader = loader
        self._batches = endless(loader)
        self._consumer_alone, self._loader_alone, self._rank = consumer_alone, loader_alone, rank
        self._pairs = self._taken = 0
        self._device = torch.device("cpu")
        self._waiting: Waiting = HostWaiting()
        self._begin: _Readings | None = None
        self._last: _Readings | None = None
        self._cpu = CpuClock()

    def take(self) -> Batch:
        """The next batch.

        Raises:
            ShardError: it cannot be read.
            StorageError: likewise.
        """
        if self._begin is None:
            batch = next(self._batches)
            self._device = batch.pcm.device
            self._waiting = DeviceWaiting(self._device) if self._device.type == "cuda" else HostWaiting()
        else:
            self._waiting.begin()
            batch = next(self._batches)
            self._waiting.end()
        self._taken = len(batch.pcm)
        return batch

    def stepped(self) -> None:
        """The batch was consumed."""
        self._pairs += self._taken
        if self._begin is None:
            synchronise(self._device)
            self._cpu = CpuClock()
            self._begin = self._last = _Readings(self._loader, self._waiting, self._pairs)

    def scalars(self) -> dict[str, float]:
        """Since the last call, for a log: name -> value of this rank; empty before the second step.

        Call it where the device was waited for anyway, such as after a loss was fetched.
        """
        now, last = _Readings(self._loader, self._waiting, self._pairs), self._last
        if last is None or now.pairs == last.pairs:
            return {}
        self._last = now
        passed, counts = now.time - last.time, now.counts - last.counts
        traffic = Traffic.of(counts)
        values = {
            "wait_share": min(1.0, (now.waited - last.waited) / passed),
            "loader/upload_share": (now.uploading - last.uploading) / passed,
            "loader/megabytes_wanted_per_second": traffic.wanted / passed / 1e6,
            "loader/megabytes_read_per_second": traffic.read / passed / 1e6,
            "loader/requests_per_second": traffic.requests / passed,
            "loader/retries": float(traffic.retries),
        }
        if traffic.p50 is not None and traffic.p99 is not None:
            values |= {"loader/request_p50_ms": traffic.p50 * 1e3, "loader/request_p99_ms": traffic.p99 * 1e3}
        return values

    def speeds(self) -> RankSpeeds:
        """The account of all steps but the first."""
        synchronise(self._device)
        begin = self._begin
        now = _Readings(self._loader, self._waiting, self._pairs)
        known = RankSpeeds(
            rank=self._rank,
            device=str(self._device),
            loader=self._loader.description,
            cores=available_cores(),
            pair_bytes=2 * self._loader.crop_frames * SAMPLE_BYTES,
            consumer_alone=self._consumer_alone,
            loader_alone=self._loader_alone,
        )
        if begin is None or now.pairs == begin.pairs:
            return known
        seconds = now.time - begin.time
        return replace(
            known,
            together=(now.pairs - begin.pairs) / seconds,
            seconds=seconds,
            waited=min(seconds, now.waited - begin.waited),
            uploading=now.uploading - begin.uploading,
            traffic=Traffic.of(now.counts - begin.counts),
            cpu=self._cpu.use(),
        )
