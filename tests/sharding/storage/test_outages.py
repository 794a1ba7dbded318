"""Servers that are slow, break off, go away for a while or for good, and how long anyone waits for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from clmr.errors import StorageError
from sharding.storage import objects, place_at
from sharding.storage.objects import PART
from sharding.storage.urls import Address
from tests.servers.ceph import Ceph
from tests.servers.s3 import free_ports
from tests.servers.web import Quiet, files_of, serving

DATA = os.urandom(1 << 20) * 20


@pytest.mark.needs("radosgw")
@pytest.mark.parametrize("how", ["killed and started", "paused"])
def test_an_outage_of_seconds_is_survived(bucket: str, ceph: Ceph, how: str) -> None:
    place = place_at(bucket)
    place.write("old", DATA)
    away, back = threading.Event(), threading.Event()

    def outage() -> None:
        (ceph.kill if how == "killed and started" else ceph.pause)()
        away.set()
        time.sleep(2)
        (ceph.start if how == "killed and started" else ceph.resume)()
        back.set()

    thread = threading.Thread(target=outage)
    with place.create("new") as file, place.open("old") as old:
        file.write(DATA)
        first = old.read(100)
        thread.start()
        assert away.wait(10)
        while not back.is_set():  # more than are under way at once: waits for the server
            file.write(DATA)
        assert first + old.read() == DATA
        written = file.position  # type: ignore[attr-defined]  # of the bucket's writer
    thread.join()
    assert place.size("new") == written >= 2 * len(DATA)
    with place.open("new") as new:
        assert all(new.read(len(DATA)) == DATA for _ in range(written // len(DATA)))


@pytest.mark.needs("radosgw")
@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_for_good_is_an_error_in_bounded_time(bucket: str, ceph: Ceph) -> None:
    place = place_at(bucket)
    place.write("old", b"data")

    def write() -> None:
        with place.create("new") as file:
            while True:
                file.write(bytes(PART))
                if not gone.is_set():
                    ceph.kill()
                    gone.set()

    gone = threading.Event()
    started = time.monotonic()
    try:
        with pytest.raises(StorageError, match=rf"^{bucket}/new: 127.0.0.1:\d+ does not answer"):
            write()
        for use in (
            lambda: place.read("old"),
            lambda: place.size("old"),
            lambda: place.files(""),
            place.walk,
            lambda: place.remove("old"),
            lambda: place.write("new", b"x"),
        ):
            with pytest.raises(StorageError, match=rf"^{bucket}.*: 127.0.0.1:\d+ does not answer .*refused|no conn"):
                use()
    finally:
        ceph.start()
    assert time.monotonic() - started < 30
    assert place.read("old") == b"data"
    assert place.size("new") is None


def test_a_server_that_never_was_there_is_an_error_soon(
    at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert objects.FIRST_SECONDS <= 20  # what a user waits for
    monkeypatch.setattr(objects, "FIRST_SECONDS", 0.5)
    url = at(f"http://127.0.0.1:{free_ports(1)[0]}")
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        place_at(url).walk()
    assert time.monotonic() - started < 5
    assert str(caught.value).startswith(f"{url}: 127.0.0.1:")
    assert "does not answer (connection refused, after " in str(caught.value)
    assert "check the network and the endpoint" in str(caught.value)
    with pytest.raises(StorageError, match=r"no-such-host\.invalid does not answer \(its name is not known"):
        place_at(at("http://no-such-host.invalid")).read("song")
    with pytest.raises(StorageError, match=r"no-such-host\.invalid does not answer \(its name is not known"):
        place_at("http://no-such-host.invalid/folder").read("song")


def test_threads_that_ask_nobody_wait_together_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other they would take minutes, and keep everyone else from connecting."""
    over, greeted, greet = threading.Event(), [], objects._greet

    def nobody_answers(at: Address) -> None:
        greeted.append(at.url)
        if at.url == "http://nobody":
            assert over.wait(100)
            raise StorageError("nobody answers")
        greet(at)

    monkeypatch.setattr(objects, "_greet", nobody_answers)
    with ThreadPoolExecutor(20) as threads, serving(files_of({"song": b"data"})) as address:
        futures = [threads.submit(place_at("http://nobody").size, "song") for _ in range(20)]
        assert place_at(address).read("song") == b"data"
        over.set()
        assert {str(future.exception()) for future in futures} == {"nobody answers"}
    assert greeted.count(address) == 1


class Slow(Quiet):
    """Takes an upload at its own pace, and keeps the reader of a download waiting as long."""

    def put(self) -> None:
        left = int(self.headers["Content-Length"])
        for _ in range(10):
            left -= len(self.rfile.read(left // 10))
            time.sleep(0.15)
        self.rfile.read(left)
        self.reply(200, ETag='"1"')

    def head(self) -> None:
        self.reply(200, bytes(2 * PART // 3))

    def get(self) -> None:
        begin, end = self.wanted(1000)
        self.send_response(206)
        for name, value in {"Content-Length": end - begin, "Content-Range": f"bytes {begin}-{end - 1}/1000"}.items():
            self.send_header(name, str(value))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        for _ in range(10):
            self.wfile.write(bytes((end - begin) // 10))
            self.wfile.flush()
            time.sleep(0.15)


@pytest.mark.usefixtures("impatient")
def test_a_slow_transfer_is_not_cut_off(at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.6)
    with serving(Slow) as address:
        place = place_at(at(address))
        place.write("song", bytes(2 * PART // 3))
        assert place.read("song") == bytes(1000)


class BreaksOff(Quiet):
    """Sends half of what is asked for, the first times."""

    left = 3
    data = os.urandom(1000)

    def get(self) -> None:
        begin, end = self.wanted(1000)
        part = self.data[begin:end]
        span = f"bytes {begin}-{end - 1}/1000"
        if BreaksOff.left:
            BreaksOff.left -= 1
            self.reply(206, part[: len(part) // 2], ETag='"1"', Content_Range=span, Content_Length=str(len(part)))
            self.close_connection = True
        else:
            self.reply(206, part, ETag='"1"', Content_Range=span)

    def head(self) -> None:
        self.reply(200)


def test_a_download_that_breaks_off_is_taken_up_again(at: Callable[[str], str]) -> None:
    with serving(BreaksOff) as address:
        assert place_at(at(address)).read("song") == BreaksOff.data
    assert not BreaksOff.left


class Hangs(Quiet):
    """Answers nothing but the first request."""

    def head(self) -> None:
        self.reply(200)

    def get(self) -> None:
        time.sleep(3)
        self.close_connection = True


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_is_an_error(at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.3)
    started = time.monotonic()
    with (
        serving(Hangs) as address,
        pytest.raises(StorageError, match=r"does not answer \(timed out, after \d+ retries"),
    ):
        place_at(at(address)).read("song")
    assert time.monotonic() - started < 10
