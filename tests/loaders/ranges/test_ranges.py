"""Crops from remote shards: every byte as in the file, few requests, many at once, none in vain."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.ranges.source import RangesSource
from loaders.reading.source import Reads
from sharding.storage import place_at
from tests.loaders.remote_reads import (
    FRAMES,
    PIECE,
    ROWS,
    SIZE,
    check,
    noise,
    random_reads,
    reads_at,
    source_of,
    wait,
    write,
)
from tests.servers.s3 import needs_s3
from tests.servers.web import Quiet, files_of, serving

FILES = noise()


def readers() -> int:
    return sum(thread.name.startswith("range-reader") for thread in threading.enumerate())


@needs_s3
def test_bytes_from_a_bucket_are_those_of_the_files(bucket: str) -> None:
    place = place_at(f"{bucket}/shards")
    write(place, FILES)
    source = source_of(place, FILES)
    submitted = [[random_reads(2 * number), random_reads(2 * number + 1)] for number in range(20)]
    futures = [future for block in submitted for future in source.submit(block)]
    wait(futures)
    for block in submitted:
        for reads in block:
            check(reads, FILES)
    source.close()


def test_bytes_from_a_web_server_are_those_of_the_files() -> None:
    with serving(files_of({f"shards/{name}": data for name, data in FILES.items()})) as address:
        source = source_of(place_at(f"{address}/shards"), FILES)
        reads = random_reads()
        wait(source.submit([reads]))
        check(reads, FILES)
        source.close()


@given(
    blocks=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, SIZE - PIECE)), max_size=ROWS), min_size=1, max_size=4
    ),
    gap=st.integers(0, SIZE),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_pieces_with_any_gap(tmp_path: Path, blocks: list[list[tuple[int, int]]], gap: int) -> None:
    place = place_at(tmp_path)
    if not (tmp_path / "train").exists():
        write(place, FILES)
    source = source_of(place, FILES, gap=gap, in_flight=3)
    submitted = [reads_at(places) for places in blocks]
    futures = source.submit(submitted)
    assert len(futures) == any(blocks)
    wait(futures)
    for reads in submitted:
        check(reads, FILES)
    wanted = PIECE * sum(map(len, blocks))
    counts = source.meter.counts()
    assert counts.wanted == wanted
    assert counts.requests == counts.latencies.sum() <= wanted // PIECE
    assert counts.retries == 0
    source.close()


def test_the_meter_counts_bytes_and_requests(tmp_path: Path) -> None:
    write(place_at(tmp_path), FILES)
    source = source_of(place_at(tmp_path), FILES, gap=50)
    places = [(0, 0), (0, PIECE + 50), (0, 2 * PIECE + 101), (1, 0), (1, 100)]  # joined; not; overlapping
    wait(source.submit([reads_at(places)]))
    counts = source.meter.counts()
    assert (counts.wanted, counts.requests) == (5 * PIECE, 3)
    assert counts.read == (2 * PIECE + 50) + PIECE + (PIECE + 100)
    source.close()


class Gate:
    """A web server that answers nobody until it is open, and remembers who asked."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.open = threading.Event()
        self.all_there = threading.Event()  # so many as are expected
        self.asked: list[str] = []

    def handler(self) -> type[Quiet]:
        gate = self

        class Handler(Quiet):
            def head(self) -> None:
                self.reply(200)

            def get(self) -> None:
                gate.asked.append(self.headers["Range"])
                if len(gate.asked) >= gate.expected:
                    gate.all_there.set()
                gate.open.wait(100)
                data = FILES[self.path.removeprefix("/")]
                begin, end = self.wanted(len(data))
                self.reply(206, data[begin:end], Content_Range=f"bytes {begin}-{end - 1}/{len(data)}")

        return Handler


@contextmanager
def gated(expected: int, in_flight: int) -> Iterator[tuple[RangesSource, Gate]]:
    """A source behind a gate."""
    gate = Gate(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadingHTTPServer, "request_queue_size", 512)  # all connect at once
        with serving(gate.handler()) as address:
            source = source_of(place_at(address), FILES, in_flight=in_flight, gap=0)
            try:
                yield source, gate
            finally:
                gate.open.set()
                source.close()


def apart(count: int, first: int = 0) -> Reads:
    """Pieces that no request can join."""
    places = [(piece % 4, (piece // 4) * (PIECE + 10)) for piece in range(first, first + count)]
    return reads_at(places, rows=count)


def test_hundreds_are_under_way_at_once_over_all_batches() -> None:
    with gated(expected=200, in_flight=200) as (source, gate):
        submitted = [apart(50, first) for first in (0, 50, 100, 150, 200)]
        futures = [future for reads in submitted for future in source.submit([reads])]
        assert gate.all_there.wait(100)
        assert not any(future.done() for future in futures)
        gate.open.set()
        wait(futures)
        for reads in submitted:
            check(reads, FILES)


def test_requests_are_made_in_the_order_of_submission() -> None:
    with gated(expected=1, in_flight=1) as (source, gate):
        gate.open.set()
        first, second = apart(10), apart(10, first=40)
        wait([*source.submit([first]), *source.submit([second])])
        offsets = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in gate.asked]
        assert sorted(offsets[:10]) == sorted(first.offset.tolist())
        assert sorted(offsets[10:]) == sorted(second.offset.tolist())


def test_what_is_cancelled_is_not_asked_for() -> None:
    with gated(expected=2, in_flight=2) as (source, gate):
        (half_way,) = source.submit([apart(20)])
        (waiting,) = source.submit([apart(20)])
        reads = apart(5, first=40)
        (wanted,) = source.submit([reads])
        assert gate.all_there.wait(100)
        assert half_way.cancel()
        assert waiting.cancel()
        gate.open.set()
        wait([wanted])
        check(reads, FILES)
        assert len(gate.asked) == 2 + 5
        for cancelled in (half_way, waiting):
            with pytest.raises(CancelledError):
                cancelled.result()


def test_closing_waits_for_no_server() -> None:
    with gated(expected=3, in_flight=3) as (source, gate):
        futures: list[Future[None]] = [*source.submit([apart(3)]), *source.submit([apart(20)])]
        assert gate.all_there.wait(100)
        source.close()
        assert not gate.open.is_set()
        assert all(future.cancelled() for future in futures)
        with pytest.raises(ConfigError, match="this loader is closed"):
            source.submit([apart(1)])
        source.close()


def test_threads_end_with_the_last_reference(tmp_path: Path) -> None:
    write(place_at(tmp_path), FILES)
    source = source_of(place_at(tmp_path), FILES)
    assert readers() == 0
    wait(source.submit([random_reads()]))
    assert readers() == 8
    del source
    gc.collect()
    assert readers() == 0


def test_an_idle_source_holds_no_batch(tmp_path: Path) -> None:
    write(place_at(tmp_path), FILES)
    source = source_of(place_at(tmp_path), FILES)
    reads = random_reads()
    gone = threading.Event()
    weakref.finalize(reads.slab, gone.set)
    wait(source.submit([reads]))
    del reads
    gc.collect()
    assert gone.wait(100)
    source.close()


def test_at_least_one_request_must_be_in_flight(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="requests in flight are 0"):
        RangesSource(place_at(tmp_path), [], [], in_flight=0)


def test_pieces_are_as_long_as_rows() -> None:
    assert reads_at([(0, 0)]).slab.crops.shape == (ROWS, 2 * FRAMES)
