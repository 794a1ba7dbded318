"""Which requests for a range are repeated, and for how long."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import StorageError
from sharding.storage import objects, place_at
from sharding.storage.retries import LONGEST_WAIT, Retries
from tests.servers.web import Quiet, serving

DATA = os.urandom(10_000)


@given(st.floats(0, 300))
def test_waits_grow_and_end(seconds: float) -> None:
    clock = [0.0]
    waits: list[float] = []

    def pause(wait: float) -> None:
        waits.append(wait)
        clock[0] += wait

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock[0])
        retries = Retries(seconds, pause)
        while retries.wait():
            pass
    assert retries.made == len(waits)
    assert seconds - 2 * LONGEST_WAIT <= sum(waits) <= seconds
    assert all(0 < wait <= LONGEST_WAIT for wait in waits)
    assert all(later > wait or later >= LONGEST_WAIT / 2 for wait, later in zip(waits, waits[2:], strict=False))


class Failing(Quiet):
    """Answers some times in a way that can pass, then as it should; counts."""

    asked: Counter[str]
    how = ""
    times = 0

    def head(self) -> None:
        self.reply(200, bytes(1000), ETag='"1"')

    def get(self) -> None:
        self.asked[self.path] += 1
        begin, end = self.wanted(len(DATA))
        part, span = DATA[begin:end], {"Content_Range": f"bytes {begin}-{end - 1}/{len(DATA)}"}
        if self.asked[self.path] > self.times:
            self.reply(206, part, **span)
        elif self.how == "breaks off":
            self.reply(206, part[:-10], Content_Length=str(len(part)), **span)
            self.close_connection = True
        elif self.how == "comes short":
            self.reply(206, b"5\r\nshort\r\n0\r\n\r\n", Transfer_Encoding="chunked", **span)
        elif self.how == "stands still":
            self.reply(206, part[:-10], Content_Length=str(len(part)), **span)
            time.sleep(3)
            self.close_connection = True
        elif self.how == "no answer":
            self.close_connection = True
        else:
            self.reply(int(self.how))


def failing(how: str, times: int) -> type[Failing]:
    return type("Fails", (Failing,), {"asked": Counter(), "how": how, "times": times})


CAN_PASS = ["breaks off", "comes short", "stands still", "no answer", "500", "503", "429", "408"]


@pytest.mark.parametrize("how", CAN_PASS)
def test_what_can_pass_is_asked_for_again(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.3)
    waits: list[float] = []
    handler = failing(how, 3)
    with serving(handler) as address:
        piece = place_at(address).piece("song", 100, 300, pause=waits.append)
    assert bytes(piece.data) == DATA[100:300]
    assert handler.asked["/song"] == 4
    assert len(waits) == 3
    assert 0 < waits[0] < waits[2]


@pytest.mark.parametrize("how", CAN_PASS)
@pytest.mark.usefixtures("impatient")
def test_what_does_not_pass_is_an_error_in_bounded_time(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.2)
    with (
        serving(failing(how, 10**9)) as address,
        pytest.raises(StorageError, match=rf"^{address}/song: .*, after \d+ retries\)"),
    ):
        place_at(address).piece("song", 100, 300)


@pytest.mark.parametrize(("how", "kind"), [("404", FileNotFoundError), ("403", PermissionError), ("400", StorageError)])
def test_what_cannot_pass_is_asked_for_once(how: str, kind: type[Exception]) -> None:
    handler = failing(how, 10**9)
    with serving(handler) as address, pytest.raises(kind) as caught:
        place_at(address).piece("song", 100, 300, pause=lambda _: pytest.fail("it waited"))
    assert f"{address}/song" in (str(caught.value), getattr(caught.value, "filename", "")) or kind is StorageError
    assert handler.asked["/song"] == 1


def test_who_waits_can_give_up() -> None:
    def give_up(_: float) -> None:
        raise InterruptedError("enough")

    handler = failing("503", 10**9)
    with serving(handler) as address, pytest.raises(InterruptedError, match="enough"):
        place_at(address).piece("song", 100, 300, pause=give_up)
    assert handler.asked["/song"] == 1


class Drips(Quiet):
    """Sends a little at a time, longer in all than anyone waits for a standstill, and longer than retries go on."""

    def head(self) -> None:
        self.reply(200)

    def get(self) -> None:
        begin, end = self.wanted(len(DATA))
        self.send_response(206)
        for name, value in {
            "Content-Length": end - begin,
            "Content-Range": f"bytes {begin}-{end - 1}/{len(DATA)}",
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        for at in range(begin, end, 100):
            self.wfile.write(DATA[at : min(at + 100, end)])
            self.wfile.flush()
            time.sleep(0.1)


@pytest.mark.usefixtures("impatient")
def test_a_slow_transfer_is_left_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(objects, "SEND_SECONDS", 0.5)
    with serving(Drips) as address:
        piece = place_at(address).piece("song", 0, 1500, pause=lambda _: pytest.fail("it was repeated"))
    assert bytes(piece.data) == DATA[:1500]


def removals(monkeypatch: pytest.MonkeyPatch, url: str, *messages: str) -> int:
    """How often a removal is asked for that fails so at first."""
    asked: list[str] = []

    def delete(_: object, key: str) -> None:
        asked.append(key)
        if len(asked) <= len(messages):
            raise ConnectionResetError(messages[len(asked) - 1])

    monkeypatch.setattr("sharding.storage.objects.obstore.delete", delete)
    at = place_at(url)._at  # type: ignore[attr-defined]  # of a bucket
    objects.remove(at, "a", f"{url}/a", pause=lambda seconds: None)
    return len(asked)


def test_a_removal_that_breaks_off_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Obstore leaves this to the caller, who alone knows that nothing is lost by it."""
    with serving(failing("200", 0)) as url:
        broken = "HTTP error: error sending request, connection reset by peer"
        assert removals(monkeypatch, url, broken, broken) == 3
        with pytest.raises(StorageError, match="after 9 retries"):  # it has been repeated long enough
            removals(monkeypatch, url, f"{broken}, after 9 retries")
        with pytest.raises(PermissionError):
            removals(monkeypatch, url, "HTTP error: status code: 403")
