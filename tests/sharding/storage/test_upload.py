"""Writing to a bucket: in parts, whole or not at all, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import pytest

from clmr.errors import StorageError
from sharding.storage import objects, place_at
from sharding.storage.objects import PART
from tests.servers.ceph import Ceph
from tests.servers.s3 import Server, needs_s3

KILLED = """
import os, sys, time
from sharding.storage import place_at
with place_at(sys.argv[1]).create("shard.tar") as file:
    for _ in range(5):
        file.write(os.urandom(8 << 20))
    print("written", flush=True)
    time.sleep(60)
"""


def name_of(bucket: str) -> str:
    return bucket.removeprefix("s3://")


@needs_s3
@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 12_345])
def test_any_number_of_parts(bucket: str, s3_server: Server, size: int) -> None:
    place = place_at(bucket)
    data = os.urandom(1000) * (size // 1000) + bytes(size % 1000)
    with place.create("shard.tar") as file:
        for begin in range(0, size, 1_000_003):
            file.write(memoryview(data)[begin : begin + 1_000_003])
    assert place.size("shard.tar") == size
    assert place.read("shard.tar") == data
    assert s3_server.uploads(name_of(bucket)) == []


@needs_s3
def test_parts_are_sent_while_the_file_is_written(bucket: str, s3_server: Server) -> None:
    place = place_at(bucket)
    tracemalloc.start()
    with place.create("shard.tar") as file:
        for _ in range(8):
            file.write(bytes(PART))
        assert s3_server.uploads(name_of(bucket)) == ["shard.tar"]
        assert s3_server.keys_in(name_of(bucket)) == []
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (objects.PARTS_IN_FLIGHT + 3) * PART
    assert s3_server.keys_in(name_of(bucket)) == ["shard.tar"]


@needs_s3
@pytest.mark.parametrize("parts", [0.5, 4.5])
def test_an_error_aborts_the_upload(bucket: str, s3_server: Server, parts: float) -> None:
    place = place_at(bucket)

    def interrupted() -> None:
        with place.create("shard.tar") as file:
            file.write(bytes(int(parts * PART)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert s3_server.keys_in(name_of(bucket)) == []
    assert s3_server.uploads(name_of(bucket)) == []


@needs_s3
def test_kill_9_leaves_no_object(bucket: str, s3_server: Server) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, bucket], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"written\n"
        child.kill()
    assert s3_server.keys_in(name_of(bucket)) == []
    # Nobody is left to abort the upload; docs/object-storage.md says which rule of the bucket does.
    assert s3_server.uploads(name_of(bucket)) == ["shard.tar"]
    place_at(bucket).write("shard.tar", b"again")
    assert place_at(bucket).read("shard.tar") == b"again"


@pytest.mark.needs("radosgw")
@pytest.mark.parametrize(
    "size",
    [3 * PART, 2 * PART, PART + (PART >> 1), PART >> 1],
    ids=["in a middle part", "in the last whole part", "in the rest", "in one request"],
)
def test_a_full_bucket_is_said_in_one_line(bucket: str, ceph: Ceph, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PARTS_IN_FLIGHT", 1)  # Ceph lets parts that arrive together exceed the quota
    place = place_at(bucket)
    ceph.quota(name_of(bucket), min(size, PART + (PART >> 2)) - 1_000_000)
    with pytest.raises(StorageError) as caught, place.create("shard.tar") as file:
        file.write(bytes(size))
    assert str(caught.value) == (
        f"{bucket}/shard.tar: the bucket is full (403 QuotaExceeded); free space in it or raise its quota, "
        "then run the same command again"
    )
    assert ceph.keys_in(name_of(bucket)) == []
    assert ceph.uploads(name_of(bucket)) == []


@pytest.mark.needs("radosgw")
def test_a_failed_part_cannot_be_ignored(bucket: str, ceph: Ceph) -> None:
    place = place_at(bucket)
    ceph.quota(name_of(bucket), PART // 2)

    def stubborn() -> None:
        with place.create("shard.tar") as file:
            for _ in range(12):
                try:
                    file.write(bytes(PART))
                except StorageError:
                    continue

    with pytest.raises(StorageError, match="the bucket is full"):
        stubborn()
    assert ceph.keys_in(name_of(bucket)) == []
    assert ceph.uploads(name_of(bucket)) == []


@needs_s3
def test_what_the_server_holds_is_checked(bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_at(bucket)
    monkeypatch.setattr(objects, "size", lambda *_: 3)
    with pytest.raises(StorageError, match=r"shard\.tar: 10 bytes were sent, and the server holds 3; it was removed"):
        place.write("shard.tar", bytes(10))
    assert s3_server.keys_in(name_of(bucket)) == []
