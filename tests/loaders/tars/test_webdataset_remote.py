"""Streaming from servers: the same batches, one request after the other ahead of the reader, and nothing that hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from clmr.errors import ShardError, StorageError
from loaders.tars import stream as webdataset_stream
from sharding.format import read_manifest
from tests.loaders.small_shards import CROP, WriteShards, recordings
from tests.loaders.tars.test_webdataset import content, described, open_pairs, read, take
from tests.loaders.test_remote import upload
from tests.servers.ceph import Ceph
from tests.servers.s3 import needs_s3
from tests.servers.web import files_of, serving

Files = dict[str, bytes]

FOREVER = """
import sys
import torch
from clmr.errors import one_line_errors
from loaders.settings import PairSettings
from loaders.webdataset import StreamedPairs

@one_line_errors()
def main():
    settings = PairSettings(shards=((sys.argv[1], 1.0),), batch_size=8, crop_frames=int(sys.argv[2]), threads=1)
    pairs = StreamedPairs(settings, 0, 1, torch.device("cpu"))
    print("ready", flush=True)
    for batch in pairs.feed(0, 0):
        pass

main()
"""


@pytest.fixture
def streamed(make_shards: WriteShards) -> Path:
    """40 tracks in 6 shards, without an index."""
    root = described(make_shards(recordings(40)))
    (root / "index.parquet").unlink()
    return root


@pytest.fixture
def files(streamed: Path) -> Files:
    """The same, as a server has them."""
    paths = [path for path in streamed.rglob("*") if path.is_file()]
    return {path.relative_to(streamed).as_posix(): path.read_bytes() for path in paths}


@needs_s3
def test_a_bucket_gives_the_batches_of_a_folder(streamed: Path, bucket: str) -> None:
    url = upload(streamed, f"{bucket}/some/shards")
    assert content(read(url, 12)) == content(read(streamed, 12))


@needs_s3
@pytest.mark.needs("radosgw")
def test_a_server_that_comes_back_is_waited_for(
    streamed: Path, bucket: str, ceph: Ceph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset_stream, "RANGE", 10_000)
    url = upload(streamed, f"{bucket}/shards")
    pairs = open_pairs(url, threads=2)
    feed = pairs.feed(0, 0)
    came = [next(feed)]
    ceph.kill()
    starting = threading.Thread(target=ceph.start)
    starting.start()
    came += islice(feed, 11)
    starting.join()
    feed.cancel()
    pairs.close()
    assert content(came) == content(read(streamed, 12))


def test_a_web_server_gives_the_batches_of_a_folder(
    streamed: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset_stream, "RANGE", 10_000)  # a shard is 15 to 30 kB here
    expected = content(read(streamed, 12))
    asked: list[str] = []

    class Recorded(files_of(files)):  # type: ignore[misc]  # mypy knows no classes that functions make
        def get(self) -> None:
            asked.append(self.path[1:])
            super().get()

    with serving(Recorded) as url:
        pairs = open_pairs(url, threads=3)
        assert content(take(pairs, 12)) == expected
        counts = pairs.counts()
        pairs.close()
    assert set(asked) == {"manifest.json", *(shard.name for shard in read_manifest(streamed).shards)}
    whole = sum(shard.bytes for shard in read_manifest(streamed).shards)
    assert counts.read > 1.5 * whole
    assert counts.requests >= counts.read / 10_000
    assert counts.percentile(0.5) is not None


def test_a_shard_that_is_not_there_is_named(files: Files) -> None:
    del files["train/000004.tar"]
    with serving(files_of(files)) as url, pytest.raises(ShardError, match=rf"{url}/train/000004\.tar is missing"):
        read(url, 5)


def test_a_shard_of_another_size_is_named(files: Files) -> None:
    files["train/000004.tar"] += b"x"
    with serving(files_of(files)) as url, pytest.raises(ShardError, match=r"train/000004\.tar has \d+ bytes, not \d+"):
        read(url, 5)


def test_a_shard_replaced_while_it_is_read_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset_stream, "RANGE", 10_000)
    pieces = 0

    class Changing(files_of(files)):  # type: ignore[misc]  # as above
        def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
            nonlocal pieces
            pieces += status == 206 and "000004" in self.path
            super().reply(status, body, **{**headers, "ETag": f'"{pieces > 1}"'})

    with serving(Changing) as url, pytest.raises(StorageError, match=r"train/000004\.tar: was replaced"):
        read(url, 5)


class Silent:
    """Servers that never answer when they are asked for a shard."""

    def __init__(self, files: Files) -> None:
        self.asked = threading.Event()
        self.over = threading.Event()
        silent = self

        class Handler(files_of(files)):  # type: ignore[misc]  # as above
            def get(self) -> None:
                if self.path.endswith(".tar"):
                    silent.asked.set()
                    silent.over.wait()
                super().get()

        self.handler: Any = Handler


def test_a_feed_is_cancelled_while_the_server_is_silent(files: Files) -> None:
    silent = Silent(files)
    with serving(silent.handler) as url:
        pairs = open_pairs(url, threads=1)
        feed = pairs.feed(0, 0)
        assert silent.asked.wait(30)
        feed.cancel()
        pairs.close()
        alive = [thread.name for thread in threading.enumerate() if thread.name == "tar-reader"]
        silent.over.set()
    assert alive == []


def test_an_interrupt_ends_a_program_while_the_server_is_silent(files: Files) -> None:
    silent = Silent(files)
    with serving(silent.handler) as url:
        command = [sys.executable, "-c", FOREVER, url, str(CROP)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert silent.asked.wait(30)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)  # the server would be asked for minutes
        silent.over.set()
    assert process.returncode == 130
    assert errors == "interrupted; run the same command again to go on\n"
