"""A loader against its limits, without a trainer: what ``python -m loaders bench`` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from loaders.pairs import PairLoader
from loaders.reading.threads import default_threads
from loaders.saturation.ceiling import CopyCeiling, pairs_per_second
from loaders.saturation.measure import LoaderMeter
from loaders.saturation.report import Saturation
from loaders.saturation.watch import SaturationLog
from sharding.format import open_shards
from sharding.storage import place_at

ROUNDS = 5
CONSUMER_ALONE = 0.3  # seconds to measure it


class SleepingConsumer:
    """Spends a fixed time on a batch and leaves the CPU alone, as a GPU would."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def consume(self) -> None:
        """One batch."""
        time.sleep(self._seconds)

    def alone(self, pairs: int) -> float:
        """Pairs per second on batches of so many pairs that cost no waiting."""
        begin = time.perf_counter()
        batches = 0
        while batches < 2 or time.perf_counter() - begin < CONSUMER_ALONE:
            self.consume()
            batches += 1
        return batches * pairs / (time.perf_counter() - begin)


class Bench:
    """The measurements of one loader.

    Args:
        shards: folder of shards, by path or URL.
        seconds: measuring time of each line of the table.
        consumer_seconds: a consumer's time for a batch; None measures the loader alone.
        options: of :class:`PairLoader`.

    Attributes:
        rates: pairs per second of each round, by line of the table.
        saturation: the report.

    Raises:
        ConfigError: settings that cannot be used.
        ShardError: shards that are missing or damaged.
        StorageError: an object store does not answer.
    """

    def __init__(self, shards: str, *, seconds: float, consumer_seconds: float | None = None, **options: Any) -> None:
        if options.get("threads") is None:
            options["threads"] = default_threads()
        self.shards, self.threads = shards, options["threads"]
        with PairLoader(shards, **options) as loader:
            self.crop_frames, self.tracks = loader.crop_frames, loader.track_count
            self.rates: dict[str, list[float]] = {}
            self._measure_alone(loader, seconds)
            self.saturation = self._report(loader, seconds, consumer_seconds)

    def _measure_alone(self, loader: PairLoader, seconds: float) -> None:
        ceiling = self._ceiling(loader)
        self._meter = meter = LoaderMeter(loader)
        meter.settle(seconds / ROUNDS)  # page cache, slabs, open files
        copies: list[float] = []
        if ceiling is not None:
            batches = ceiling.batches()
            pairs_per_second(batches, seconds / ROUNDS)
        for _ in range(ROUNDS):  # interleaved, so that other load on the machine meets both alike
            meter.round(seconds / ROUNDS)
            if ceiling is not None:
                copies.append(pairs_per_second(batches, seconds / ROUNDS))
        self.rates["loader alone"] = meter.rates
        if ceiling is not None:
            ceiling.close()
            self.rates["memory copy"] = copies

    def _ceiling(self, loader: PairLoader) -> CopyCeiling | None:
        """Memory copies of the same crops; None where the shards are not on this machine."""
        if place_at(self.shards).root is None:
            return None
        shard_set = open_shards(self.shards)
        return CopyCeiling(
            shard_set.root,
            shard_set.tracks(loader.settings.splits),
            crop_frames=loader.crop_frames,
            pairs=loader.settings.batch_size,
            threads=self.threads,
        )

    def _report(self, loader: PairLoader, seconds: float, consumer_seconds: float | None) -> Saturation:
        copies = self.rates.get("memory copy")
        alone = self._meter.result(copy_ceiling=median(copies) if copies else None)
        if consumer_seconds is None:
            return Saturation.of([replace(SaturationLog(loader).speeds(), loader_alone=alone)])
        consumer = SleepingConsumer(consumer_seconds)
        rate = consumer.alone(loader.settings.batch_size)
        log = SaturationLog(loader, consumer_alone=rate, loader_alone=alone)
        begin = time.perf_counter()
        steps = 0
        while steps < 2 or time.perf_counter() - begin < seconds:
            log.take()
            consumer.consume()
            log.stepped()
            steps += 1
        speeds = log.speeds()
        self.rates["consumer alone"] = [rate]
        self.rates["both together"] = [speeds.together or 0.0]
        return Saturation.of([speeds])

    def lines(self) -> Iterator[str]:
        """The table for people, the verdict last."""
        pair_bytes = 2 * self.crop_frames * 2
        speeds = self.saturation.slowest
        alone = speeds.loader_alone
        assert alone is not None
        yield f"{self.shards}: {self.tracks} tracks, {self.crop_frames} samples per crop, {self.threads} threads"
        yield speeds.loader
        yield f"first batch after {alone.first_batch:.3f} s: {alone.opening.describe()}"
        best = alone.copy_ceiling
        yield f"{'':<15}{'pairs/s':>10}{'lowest':>10}{'highest':>10}{'MB/s':>9}" + (f"{'of copy':>9}" if best else "")
        for name, rates in self.rates.items():
            middle = median(rates)
            spread = f"{min(rates):>10,.0f}{max(rates):>10,.0f}" if len(rates) > 1 else f"{'':>20}"
            share = f"{middle / best:>9.0%}" if best else ""
            yield f"{name:<15}{middle:>10,.0f}{spread}{middle * pair_bytes / 1e6:>9,.0f}{share}"
        yield f"loader alone: {alone.traffic.describe()}; {alone.cpu.cores:.1f} cores wanted, {speeds.cores:.3g} there"
        if speeds.together is not None:
            yield f"both together: {speeds.wait_share:.1%} of {speeds.seconds:.1f} s waiting for batches"
        yield self.saturation.verdict.line
