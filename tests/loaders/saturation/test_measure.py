"""A loader measured alone goes on afterwards as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path
from threading import Lock

import pytest
import torch

from clmr.errors import ShardError
from loaders import Batch, PairLoader
from loaders.saturation import measure as module
from loaders.saturation.figures import Traffic
from loaders.saturation.measure import LoaderMeter, endless, measure_loader, request_alone
from loaders.saturation.verdict import limit_of
from sharding.storage import place_at
from tests.loaders.slow import compute, slow_down
from tests.loaders.small_shards import CROP
from tests.servers.web import files_of, serving

PAIR = 2 * CROP * 2  # bytes


@pytest.fixture
def loader(shards: Path) -> Iterator[PairLoader]:
    with PairLoader(shards, batch_size=8, crop_frames=CROP, threads=1) as opened:
        yield opened


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        torch.equal(a.pcm, b.pcm) and torch.equal(a.keys, b.keys) and (a.epoch, a.step) == (b.epoch, b.step)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("delivered", [0, 3, 5, 7])
def test_the_same_batches_follow(shards: Path, loader: PairLoader, delivered: int) -> None:
    """40 tracks in batches of 8 are 5 steps an epoch."""
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as undisturbed:
        expected = [(batch, batch.pcm.clone()) for batch in islice(endless(undisturbed), delivered + 6)]
    list(islice(endless(loader), delivered))
    state = loader.state_dict()
    found = measure_loader(loader, 0.02)
    assert found.pairs_per_second > 0
    assert loader.state_dict() == state
    assert equal(list(islice(endless(loader), 6)), [batch for batch, _ in expected[delivered:]])


def test_it_counts_what_was_read_in_the_measured_time(loader: PairLoader) -> None:
    """A batch of 8 after every 10 ms, whatever the machine does besides; what is read ahead is counted as well."""
    found = measure_loader(slow_down(loader, lambda: time.sleep(0.01)), 0.2)
    pairs = found.pairs_per_second * found.seconds
    assert pairs == pytest.approx(round(pairs / 8) * 8)
    assert 16 <= pairs <= 8 * (0.01 + found.seconds) / 0.01
    assert abs(found.traffic.wanted - pairs * PAIR) <= 3 * 8 * PAIR
    assert found.traffic.read == found.traffic.wanted
    assert found.traffic.requests > 0
    assert found.traffic.p50 is not None
    assert not found.remote
    assert found.request_alone is None
    assert found.first_batch >= 0.01


def test_a_first_batch_that_takes_long_is_all_that_is_measured(loader: PairLoader) -> None:
    asked: list[float] = []

    def delay() -> None:
        asked.append(0.1)
        time.sleep(0.1)

    found = measure_loader(slow_down(loader, delay), 0.05)
    assert len(asked) == 1
    assert found.pairs_per_second == pytest.approx(8 / found.first_batch)
    assert found.traffic.wanted > 0


def test_a_loader_that_fails_stands_where_it_stood(loader: PairLoader) -> None:
    state = loader.state_dict()
    numbers = iter(range(100))

    def fail() -> None:
        if next(numbers) > 4:
            raise ShardError("gone")

    with pytest.raises(ShardError, match="gone"):
        measure_loader(slow_down(loader, fail), 10.0)
    assert loader.state_dict() == state


def test_rounds_are_joined_by_their_median(loader: PairLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = LoaderMeter(loader)
    for _ in range(3):
        meter.round(0.01)
    meter.rates = [1.0, 100.0, 5.0]
    assert meter.result(copy_ceiling=50.0).pairs_per_second == 5.0
    assert meter.result(copy_ceiling=50.0).copy_ceiling == 50.0


@pytest.mark.parametrize(
    ("delay", "cause"),
    [(lambda: time.sleep(0.1), "disk"), (lambda: compute(0.1), "cpu")],
    ids=["waits for something", "computes"],
)
def test_the_limit_of_a_slow_loader_is_found(loader: PairLoader, delay: Callable[[], None], cause: str) -> None:
    found = measure_loader(slow_down(loader, delay), 0.5)
    assert limit_of(found, cores=1).cause == cause


class Limited:
    """A web server of shards on which each request takes some time, one after the other where ``one_by_one``."""

    def __init__(self, shards: Path, seconds: float, *, one_by_one: bool = False) -> None:
        files = {str(path.relative_to(shards)): path.read_bytes() for path in shards.rglob("*") if path.is_file()}
        turn = Lock() if one_by_one else nullcontext()
        self.sizes: list[int] = []
        """Bytes of the ranges of shards that were asked for."""
        sizes = self.sizes

        class Late(files_of(files)):  # type: ignore[misc]  # mypy knows no classes made at run time
            def get(self) -> None:
                if self.path.endswith(".tar") and "Range" in self.headers:
                    first, end = self.wanted(1 << 62)
                    sizes.append(end - first)
                    with turn:
                        time.sleep(seconds)
                super().get()

        self.handler: type[BaseHTTPRequestHandler] = Late


def test_a_request_alone_is_timed_at_the_usual_size(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Limited(shards, 0.03)
    with serving(server.handler) as address:
        alone = request_alone(place_at(address), Traffic(wanted=5000, read=10_000, requests=10))
        assert alone >= 0.03
        assert server.sizes == [1000] * module.PROBES
        server.sizes.clear()
        monkeypatch.setattr(module, "PROBE_SECONDS", 0.0)
        assert request_alone(place_at(address), Traffic(read=10**12, requests=1)) >= 0.03
    largest = max(path.stat().st_size for path in shards.glob("train/*.tar"))
    assert server.sizes == [largest], "a request that takes long is made once"


@pytest.mark.parametrize(("one_by_one", "cause"), [(False, "latency"), (True, "bandwidth")])
def test_the_limit_of_a_store_is_found(shards: Path, one_by_one: bool, cause: str) -> None:
    """24 requests under way: where the server works on all at once, each takes as long as one alone."""
    server = Limited(shards, 0.02 if one_by_one else 0.15, one_by_one=one_by_one)
    with (
        serving(server.handler) as address,
        PairLoader(address, batch_size=4, crop_frames=CROP, access="ranges", depth=3) as loader,
    ):
        found = measure_loader(loader, 2.0)
    assert found.remote
    assert found.request_alone is not None
    assert limit_of(found, cores=64).cause == cause
