"""What remote shards can do wrong is one clear error that names the URL, never wrong audio."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from clmr.errors import ShardError, StorageError
from sharding.storage import Place, objects, place_at
from tests.loaders.remote_reads import check, noise, random_reads, reads_at, source_of, wait, write
from tests.servers.ceph import Ceph
from tests.servers.s3 import free_ports, needs_s3
from tests.servers.web import Quiet, serving

FILES = noise()
FIRST = "train/000000.tar"


@pytest.fixture(params=["folder", pytest.param("bucket", marks=needs_s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    place = place_at(tmp_path if request.param == "folder" else f"{request.getfixturevalue('bucket')}/shards")
    write(place, FILES)
    return place


@pytest.mark.parametrize("other", [noise(seed=1)[FIRST], FILES[FIRST][:-1] + b"x"], ids=["all else", "one byte else"])
def test_a_shard_that_is_replaced_is_noticed(place: Place, other: bytes) -> None:
    source = source_of(place, FILES)
    wait(source.submit([reads_at([(0, 0), (1, 0)])]))
    place.write(FIRST, other)
    with pytest.raises(StorageError, match=rf"^{place.address(FIRST)}: was replaced while in use; start again"):
        wait(source.submit([reads_at([(0, 5000), (2, 5000)])]))
    others = reads_at([(1, 3000), (2, 3000), (3, 3000)])
    wait(source.submit([others]))
    check(others, FILES)
    source.close()


@pytest.mark.parametrize("left", [19_999, 6000, 5100, 10, 0])
def test_a_shard_that_is_cut_while_in_use_is_noticed(place: Place, left: int) -> None:
    source = source_of(place, FILES)
    wait(source.submit([reads_at([(0, 0)])]))
    place.write(FIRST, FILES[FIRST][:left])
    with pytest.raises(StorageError, match=rf"^{place.address(FIRST)}: was replaced while in use"):
        wait(source.submit([reads_at([(0, 5000)])]))
    source.close()


@pytest.mark.parametrize("left", [19_999, 5100, 10, 0])
def test_a_shard_that_was_cut_before_is_refused(place: Place, left: int) -> None:
    place.write(FIRST, FILES[FIRST][:left])
    source = source_of(place, FILES)
    with pytest.raises(
        ShardError, match=rf"^{place.address(FIRST)} has {left} bytes, not 20000: copy or build it again"
    ):
        wait(source.submit([reads_at([(0, 5000)])]))
    source.close()


def test_a_shard_that_is_not_there(place: Place) -> None:
    place.remove(FIRST)
    source = source_of(place, FILES)
    with pytest.raises(StorageError, match=rf"^{place.address(FIRST)}: there is no such file"):
        wait(source.submit([reads_at([(0, 5000), (1, 5000)])]))
    assert source.meter.counts().retries == 0
    source.close()


@pytest.mark.needs("radosgw")
def test_wrong_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place_at(bucket), FILES)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    source = source_of(place_at(bucket), FILES)
    with pytest.raises(
        StorageError, match=rf"^{bucket}/{FIRST}: access denied \(403 \w+\); check the credentials"
    ) as caught:
        wait(source.submit([reads_at([(0, 5000)])]))
    assert "not-the-secret" not in str(caught.value)
    assert source.meter.counts().retries == 0
    source.close()


@pytest.mark.needs("radosgw")
@pytest.mark.parametrize(("how", "seconds"), [("killed", 20), ("paused", 3)])
def test_a_server_that_is_away_for_a_while_costs_nothing_but_time(
    bucket: str, ceph: Ceph, monkeypatch: pytest.MonkeyPatch, how: str, seconds: int
) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 1)
    place = place_at(bucket)
    write(place, FILES)
    source = source_of(place, FILES, in_flight=32)
    wait(source.submit([random_reads()]))  # connections stand
    away, back = (ceph.kill, ceph.start) if how == "killed" else (ceph.pause, ceph.resume)
    away()
    returns = threading.Timer(seconds, back)
    returns.start()
    submitted = [random_reads(number) for number in range(10)]
    futures = [future for reads in submitted for future in source.submit([reads])]
    wait(futures)
    returns.join()
    for reads in submitted:
        check(reads, FILES)
    assert source.meter.counts().retries > 0
    source.close()


@pytest.mark.needs("radosgw")
def test_a_server_that_stays_away_is_an_error_in_bounded_time(
    bucket: str, ceph: Ceph, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_at(bucket)
    write(place, FILES)
    source = source_of(place, FILES)
    wait(source.submit([random_reads()]))
    monkeypatch.setattr(objects, "RETRY_SECONDS", 1)
    ceph.kill()
    try:
        with pytest.raises(
            StorageError, match=rf"^{bucket}/train/.*does not answer \(connection refused, after \d+ ret"
        ):
            wait(source.submit([random_reads()]))
    finally:
        ceph.start()
    reads = random_reads()
    wait(source.submit([reads]))
    check(reads, FILES)
    source.close()


def test_a_server_that_never_was_there_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FIRST_SECONDS", 0.5)
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    source = source_of(place_at(address), FILES)
    with pytest.raises(StorageError, match=rf"^{address}: 127.0.0.1:\d+ does not answer \(connection refused"):
        wait(source.submit([random_reads()]))
    source.close()


class Shaky(Quiet):
    """Fails in one way or another at the first requests for a range, and then drips."""

    asked: Counter[str]

    def head(self) -> None:
        self.reply(200)

    def get(self) -> None:
        self.asked[self.headers["Range"]] += 1
        data = FILES[self.path.removeprefix("/")]
        begin, end = self.wanted(len(data))
        part, span = data[begin:end], {"Content_Range": f"bytes {begin}-{end - 1}/{len(data)}"}
        match self.asked[self.headers["Range"]]:
            case 1:
                self.reply(503)
            case 2:
                self.reply(206, part[: len(part) // 2], Content_Length=str(len(part)), **span)
                self.close_connection = True
            case 3:
                self.reply(206, part[: len(part) // 2], Content_Length=str(len(part)), **span)
                time.sleep(2)  # stands still
                self.close_connection = True
            case _:
                self.reply(206, b"", Content_Length=str(len(part)), **span)
                for byte in range(0, len(part), 20):
                    self.wfile.write(part[byte : byte + 20])
                    time.sleep(0.15)


def test_a_shaky_and_slow_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STALL_SECONDS", 0.5)
    handler = type("Shakes", (Shaky,), {"asked": Counter()})
    with serving(handler) as address:
        source = source_of(place_at(address), FILES, gap=0)
        reads = reads_at([(0, 0), (1, 1000), (2, 2000), (3, 3000)])
        wait(source.submit([reads]))
        check(reads, FILES)
        assert source.meter.counts().retries == 3 * 4
        source.close()


def test_what_fails_stops_the_rest_of_its_batch_and_no_other(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    write(place, FILES)
    place.remove(FIRST)
    source = source_of(place, FILES, in_flight=1, gap=0)
    bad = reads_at([(0, 300 * piece) for piece in range(20)])
    good = reads_at([(1, 300 * piece) for piece in range(20)])
    futures = [*source.submit([bad]), *source.submit([good])]
    with pytest.raises(StorageError, match="no such file"):
        futures[0].result(timeout=60)
    wait(futures[1:])
    check(good, FILES)
    assert source.meter.counts().requests == 20
    source.close()
