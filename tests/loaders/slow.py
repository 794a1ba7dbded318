"""Loaders that are slow in a known way."""

from __future__ import annotations

import time
from collections.abc import Callable

from loaders import Batch, PairLoader
from loaders.batch import Feed, Supply
from loaders.reading.meter import Counts


def compute(seconds: float) -> None:
    """Keep the processor busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class _Delayed(Feed):
    def __init__(self, feed: Feed, delay: Callable[[], None]) -> None:
        self._feed, self._delay = feed, delay

    def __next__(self) -> Batch:
        self._delay()
        return next(self._feed)

    def cancel(self) -> None:
        self._feed.cancel()


class _DelayedSupply(Supply):
    def __init__(self, supply: Supply, delay: Callable[[], None]) -> None:
        self._supply, self._delay = supply, delay
        self.sample_rate, self.crop_frames = supply.sample_rate, supply.crop_frames
        self.steps, self.track_count = supply.steps, supply.track_count
        self.description, self.fingerprint = supply.description, supply.fingerprint

    def feed(self, epoch: int, step: int) -> Feed:
        return _Delayed(self._supply.feed(epoch, step), self._delay)

    def counts(self) -> Counts:
        return self._supply.counts()

    def close(self) -> None:
        self._supply.close()


def slow_down(loader: PairLoader, delay: Callable[[], None]) -> PairLoader:
    """The loader, made to do something before each batch."""
    loader.supply = _DelayedSupply(loader.supply, delay)
    return loader
