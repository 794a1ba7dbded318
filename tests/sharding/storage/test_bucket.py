"""What is particular to buckets: markers of folders, names that cannot be addressed, objects that are replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from clmr.errors import StorageError
from sharding.storage import Listing, objects, place_at
from sharding.storage.urls import Address
from tests.servers.s3 import Server, needs_s3
from tests.servers.web import files_of, serving

FORKED = """
import os, sys
from clmr.errors import StorageError
from sharding.storage import place_at
place = place_at(sys.argv[1])
file = place.open("song")
file.read(1)
if os.fork() == 0:
    for use in (lambda: place.size("song"), lambda: place_at(sys.argv[1] + "/else").walk(), lambda: file.read(10**6)):
        try:
            use()
        except StorageError as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""


@needs_s3
def test_markers_of_folders_are_no_files(bucket: str, s3_server: Server) -> None:
    place = place_at(f"{bucket}/music")
    for key in ("music/", "music/album/", "music/empty folder/"):
        s3_server.request("PUT", f"/{bucket.removeprefix('s3://')}/{key}")
    for name in ("album/song", "empty", "both"):
        place.write(name, b"")
    s3_server.request("PUT", f"/{bucket.removeprefix('s3://')}/music/both/")
    assert place.walk() == Listing(("album/song", "both", "empty"))
    assert place.files("album") == {"song": 0}
    assert place.files("empty folder") == {}


@pytest.mark.needs("radosgw")
def test_a_folder_with_a_name_that_cannot_be_addressed_is_closed(bucket: str, s3_server: Server) -> None:
    place = place_at(f"{bucket}/music")
    for name in ("good/song", "bad/song", "bad/deep/song", "song", "good/deep/song"):
        place.write(name, b"1")
    s3_server.request("PUT", f"/{bucket.removeprefix('s3://')}/music/bad/../x", body=b"1")
    assert place.walk() == Listing(("good/deep/song", "good/song", "song"), ("bad",))
    with pytest.raises(StorageError, match=r"music/bad: holds an object that cannot be addressed; rename it .*\.\."):
        place.files("bad")
    s3_server.request("PUT", f"/{bucket.removeprefix('s3://')}/music/a\nb", body=b"1")
    with pytest.raises(StorageError, match="music: holds an object that cannot be addressed"):
        place.walk()


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "../a", "a/./b", "a\nb", "", "\udce9", "x" * 1025])
def test_names_that_cannot_be_addressed_are_refused_before_anything_is_sent(name: str) -> None:
    place = place_at("s3://bucket")
    for use in (place.size, place.read, place.open, place.remove, lambda name: place.write(name, b"")):
        with pytest.raises(OSError, match="object stores") as caught:
            use(name)
        assert caught.value.filename == f"s3://bucket/{name}"


@needs_s3
def test_a_file_that_is_replaced_while_it_is_read_is_noticed(bucket: str) -> None:
    place = place_at(bucket)
    place.write("song", bytes(200_000))
    with place.open("song") as file:
        file.read(10)
        place.write("song", os.urandom(200_000))
        with pytest.raises(StorageError, match=f"{bucket}/song: was replaced while it was read"):
            file.read()


@needs_s3
def test_another_process_makes_its_own_connection(bucket: str) -> None:
    place = place_at(bucket)
    place.write("song", b"data")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(place.read, "song").result() == b"data"


@needs_s3
def test_a_forked_process_is_refused_instead_of_hanging(bucket: str) -> None:
    place_at(bucket).write("song", bytes(100_000))
    done = subprocess.run(
        [sys.executable, "-c", FORKED, bucket], check=True, capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{bucket}: object storage was used before this process was forked")
    assert "'spawn' or 'forkserver'" in lines[1]
    assert lines[2].startswith("a file in a bucket was opened before this process was forked")


@needs_s3
def test_threads_share_one_connection(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    greeted: list[Address] = []
    greet = objects._greet

    def note(at: Address) -> None:
        greeted.append(at)
        greet(at)

    monkeypatch.setattr(objects, "_greet", note)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(place_at(bucket).size, "abcdefgh")) == [None] * 8
    assert len(greeted) == 1


def test_a_web_server_is_read_only() -> None:
    data = os.urandom(200_000)
    with serving(files_of({"music/a song#1.mp3": data, "music/empty": b""})) as address:
        place = place_at(f"{address}/music/")
        assert place.address("x") == f"{address}/music/x"
        assert place.read("a song#1.mp3") == data
        assert place.read("empty") == b""
        assert place.size("a song#1.mp3") == 200_000
        assert place.size("no") is None
        with pytest.raises(FileNotFoundError):
            place.read("no")
        with place.open("a song#1.mp3") as file:
            file.seek(150_000)
            assert file.read(5) == data[150_000:150_005]
        for ask in (place.walk, lambda: place.files("")):
            with pytest.raises(StorageError, match="files of a web server cannot be listed"):
                ask()
        with pytest.raises(StorageError, match="a web server takes no files"):
            place.write("x", b"")
