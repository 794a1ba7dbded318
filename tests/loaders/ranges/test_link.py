"""What is measured of a link, and what follows from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import StorageError
from loaders.ranges import link
from loaders.ranges.link import FEWEST, MOST, Link, measure
from loaders.ranges.spans import LARGEST
from sharding.storage import Place, objects, place_at
from tests.servers.ceph import Ceph
from tests.servers.s3 import needs_s3
from tests.servers.web import Quiet, serving

SIZES = {"a.tar": 3_000_000, "empty.tar": 0, "b.tar": 40}

links = st.builds(Link, st.floats(1e-5, 10), st.floats(1, 1e6), st.floats(1e3, 1e11))


@given(links, st.integers(0, 1 << 23))
def test_the_gap_is_where_one_request_costs_as_much_as_two(measured: Link, between: int) -> None:
    gap = measured.gap()
    assert 0 <= gap <= LARGEST // 2
    joined_costs = between / measured.bytes_per_second
    apart_costs = 1 / measured.requests_per_second
    if between <= gap:
        assert joined_costs <= apart_costs
    elif gap < LARGEST // 2:
        assert joined_costs >= apart_costs * 0.999 or between == gap + 1


@given(links)
def test_requests_in_flight_reach_the_rate(measured: Link) -> None:
    in_flight = measured.in_flight()
    assert FEWEST <= in_flight <= MOST
    if in_flight < MOST:
        assert in_flight / measured.latency_seconds >= measured.requests_per_second


def test_what_s3_promises() -> None:
    s3 = Link(0.025, 5500, 3.125e9)
    assert s3.gap() == 568_181
    assert s3.in_flight() == 207
    assert str(s3) == "25.0 ms, 5,500 requests/s, 3,125 MB/s"


@contextmanager
def server(delay: float, bytes_per_second: float = 0) -> Iterator[Place]:
    """A web server of some speed: it waits before every answer, and sends all bodies together at a rate."""
    line = threading.Lock()

    class Handler(Quiet):
        def head(self) -> None:
            self.reply(200)

        def get(self) -> None:
            size = SIZES[self.path.removeprefix("/")]
            begin, end = self.wanted(size)
            time.sleep(delay)
            self.reply(206, b"", Content_Length=str(end - begin), Content_Range=f"bytes {begin}-{end - 1}/{size}")
            for at in range(begin, end, 1 << 14):
                part = min(1 << 14, end - at)
                if bytes_per_second:
                    with line:
                        time.sleep(part / bytes_per_second)
                self.wfile.write(bytes(part))

    with serving(Handler) as address:
        yield place_at(address)


@pytest.mark.parametrize("delay", [0.05, 0.2])
def test_the_latency_is_that_of_the_server(delay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MANY", 8)  # the test's server is a slow one
    with server(delay) as place:
        measured = measure(place, list(SIZES), list(SIZES.values()))
    assert delay <= measured.latency_seconds
    assert measured.requests_per_second <= 8 / delay
    assert measured.bytes_per_second > 0


def test_the_bandwidth_is_that_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MANY", 8)
    with server(0.001, bytes_per_second=2e6) as place:
        measured = measure(place, list(SIZES), list(SIZES.values()))
    assert 0 < measured.bytes_per_second <= 2.1e6


@needs_s3
def test_a_bucket_can_be_measured(bucket: str) -> None:
    place = place_at(bucket)
    for name, size in SIZES.items():
        place.write(name, bytes(size))
    measured = measure(place, list(SIZES), list(SIZES.values()))
    assert measured.bytes_per_second > measured.requests_per_second > 0


@pytest.mark.needs("radosgw")
def test_a_server_that_is_gone_is_an_error(bucket: str, ceph: Ceph, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_at(bucket)
    place.write("a.tar", bytes(1000))
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    place.piece("a.tar", 0, 1)
    ceph.kill()
    try:
        with pytest.raises(StorageError, match=rf"^{bucket}/a.tar: .* does not answer"):
            measure(place, ["a.tar"], [1000])
    finally:
        ceph.start()
