"""A loader measured alone: how many pairs per second it delivers to nobody, and what that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import reduce
from operator import add
from statistics import fmean, median

import numpy as np
import torch

from loaders.batch import Batch
from loaders.pairs import PairLoader
from loaders.reading.meter import NOTHING, Counts
from loaders.saturation.cpu import CpuClock, CpuUse
from loaders.saturation.figures import IDLE, LoaderAlone, Traffic
from sharding.format import read_manifest
from sharding.storage import Place, place_at

SETTLE = 0.2  # share of the time given to filling the pipeline, before the clock starts
LEAST_BATCHES = 2
PROBES = 4  # requests made alone, the first of which opens the connection
PROBE_SECONDS = 1.0
PROBE_BYTES = 16 << 20


def endless(loader: PairLoader) -> Iterator[Batch]:
    """A loader's batches, epoch after epoch, from where it stands."""
    while True:
        yield from loader


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class LoaderMeter:
    """Takes batches and drops them, in one or more rounds; the loader moves on.

    Args:
        loader: what is measured; it has delivered nothing since it was made or put somewhere.

    Attributes:
        first_batch: seconds until the first batch was there.
        rates: pairs per second of every round.
    """

    def __init__(self, loader: PairLoader) -> None:
        self.loader = loader
        self.rates: list[float] = []
        self._batches = endless(loader)
        self._seconds = 0.0
        self._counts: list[Counts] = []
        self._cpu: list[CpuUse] = []
        counts, begin = loader.counts(), time.perf_counter()
        batch = next(self._batches)
        self._device = batch.pcm.device
        synchronise(self._device)
        self.first_batch = time.perf_counter() - begin
        self._opening = loader.counts() - counts
        self._pairs_of_first = len(batch.pcm)

    def settle(self, seconds: float) -> None:
        """Take batches uncounted for about so long, so that reading ahead is under way."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            next(self._batches)

    def round(self, seconds: float) -> float:
        """Take batches for about so long, at least two; their pairs per second."""
        synchronise(self._device)
        counts, cpu, begin = self.loader.counts(), CpuClock(), time.perf_counter()
        pairs = batches = 0
        while batches < LEAST_BATCHES or time.perf_counter() - begin < seconds:
            pairs += len(next(self._batches).pcm)
            batches += 1
        synchronise(self._device)
        passed = time.perf_counter() - begin
        self._seconds += passed
        self._counts.append(self.loader.counts() - counts)
        self._cpu.append(cpu.use())
        self.rates.append(pairs / passed)
        return self.rates[-1]

    def result(self, *, copy_ceiling: float | None = None) -> LoaderAlone:
        """All rounds: the median of the rates, the sum of the traffic.

        Without a round, the first batch is all there is: the pace of a pipeline that was still empty.
        """
        traffic = Traffic.of(reduce(add, self._counts, NOTHING) if self.rates else self._opening)
        busiest = max(self._cpu, key=lambda use: use.busiest, default=IDLE).busiest
        remote = [place for place in _places(self.loader) if place.root is None]
        return LoaderAlone(
            pairs_per_second=median(self.rates) if self.rates else self._pairs_of_first / self.first_batch,
            seconds=self._seconds or self.first_batch,
            first_batch=self.first_batch,
            opening=Traffic.of(self._opening),
            traffic=traffic,
            cpu=CpuUse(fmean([use.cores for use in self._cpu]), busiest) if self._cpu else IDLE,
            remote=bool(remote),
            request_alone=request_alone(remote[0], traffic) if remote and traffic.requests else None,
            copy_ceiling=copy_ceiling,
        )


def measure_loader(loader: PairLoader, seconds: float) -> LoaderAlone:
    """Measure a loader with no consumer, then put it back where it stood: the same batches follow as without.

    Where the first batch alone takes longer than ``seconds``, it is all that is measured.

    Raises:
        ShardError: the shards cannot be read.
        StorageError: likewise.
    """
    state = loader.state_dict()
    try:
        meter = LoaderMeter(loader)
        if meter.first_batch < seconds:
            meter.settle(SETTLE * seconds)
            meter.round((1 - SETTLE) * seconds)
    finally:
        loader.load_state_dict(state)
    return meter.result()


def request_alone(place: Place, traffic: Traffic) -> float:
    """Seconds of a request of the mean size while no other is under way: the median of a few.

    Raises:
        StorageError: the store does not answer.
    """
    shard = max(read_manifest(place).shards, key=lambda shard: shard.bytes)
    version = place.version(shard.name)
    size = max(1, min(PROBE_BYTES, shard.bytes, traffic.read // max(1, traffic.requests)))
    taken: list[float] = []
    draw = np.random.default_rng(0)
    begin = time.perf_counter()
    while not taken or (len(taken) < PROBES and time.perf_counter() - begin < PROBE_SECONDS):
        first = int(draw.integers(shard.bytes - size + 1))
        asked = time.perf_counter()
        place.fetch(shard.name, first, first + size, version)
        taken.append(time.perf_counter() - asked)
    return median(taken[1:] or taken)


def _places(loader: PairLoader) -> list[Place]:
    return [place_at(shards) for shards, _ in loader.settings.shards]
