"""The proxy passes bytes on as they are, every request a while later."""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest

from benchmarks.remote import delayed
from tests.servers.s3 import Server, needs_s3
from tests.servers.signed import request
from tests.servers.web import files_of, serving

DATA = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
DELAY = 0.025  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Files(files_of({"data": DATA, "nothing": b""})):  # type: ignore[misc]  # a class that a function makes
        def put(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(200, hashlib.sha256(body).hexdigest().encode(), X_Host=self.headers["Host"])

    with serving(Files) as address:
        yield address


def connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)


def get(connection: http.client.HTTPConnection, begin: int, end: int) -> bytes:
    connection.request("GET", "/data", headers={"Range": f"bytes={begin}-{end - 1}"})
    return connection.getresponse().read()


def test_every_request_waits(server: str) -> None:
    with delayed(server, 1000 * DELAY, None) as far:
        assert far != server
        connection = connect(far)
        began = time.monotonic()
        for begin in (0, 7, 100_000):
            assert get(connection, begin, begin + 118_098) == DATA[begin : begin + 118_098]
        connection.request("HEAD", "/data")
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["Content-Length"]) == (200, b"", str(len(DATA)))
        connection.request("GET", "/absent")
        assert connection.getresponse().read() == b""
        assert time.monotonic() - began >= 5 * DELAY
        connection.request("PUT", "/data", DATA)
        answer = connection.getresponse()
        assert answer.read() == hashlib.sha256(DATA).hexdigest().encode()
        assert answer.headers["X-Host"] == urlsplit(far).netloc, "the client signed for this name"
        connection.close()


def test_many_connections_at_once(server: str) -> None:
    def some(number: int) -> bool:
        connection = connect(far)
        begin = 1000 * number
        same = get(connection, begin, begin + 200_000) == DATA[begin : begin + 200_000]
        connection.close()
        return same

    with delayed(server, 1000 * DELAY, None) as far, ThreadPoolExecutor(64) as pool:
        assert all(pool.map(some, range(100)))


def test_answers_share_the_link(server: str) -> None:
    def whole(_: int) -> bool:
        connection = connect(far)
        same = get(connection, 0, len(DATA)) == DATA
        connection.close()
        return same

    with delayed(server, 0, 20) as far, ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        assert all(pool.map(whole, range(4)))
        # 12 MB at 20 MB/s; a burst of a 50th of a second may come at once.
        assert time.monotonic() - began >= 4 * len(DATA) / 20e6 - 0.03


def test_a_server_that_is_not_there() -> None:
    with delayed("http://127.0.0.1:9", 1, None) as far:
        connection = connect(far)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            get(connection, 0, 10)
        connection.close()


@needs_s3
def test_signatures_hold(s3_server: Server) -> None:
    bucket = s3_server.new_bucket()
    with delayed(s3_server.endpoint, 1, None) as far:
        assert request(far, s3_server.keys, "PUT", f"/{bucket}/data", body=DATA)[0] == 200
        assert request(far, s3_server.keys, "GET", f"/{bucket}/data") == (200, DATA)
        assert request(far, ("testkey", "wrong"), "GET", f"/{bucket}/data")[0] == 403
