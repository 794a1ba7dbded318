"""Shards in a bucket, and recordings from one, on a real object store: the same bytes, the same promises."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clmr.errors import ShardError, StorageError
from sharding.build import Share, build
from sharding.format import open_shards
from sharding.listing import describe
from sharding.plan import BuildSettings
from sharding.storage import place_at
from sharding.verify import verify
from tests.servers.ceph import Ceph
from tests.servers.s3 import Server, needs_s3
from tests.sharding.test_build import SMALL, contents, long_corpus, uninterrupted

__all__ = ["long_corpus", "uninterrupted"]
Sharder = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = BuildSettings("folder", shard_size=600 * 2**10)
pytestmark = needs_s3


def objects(url: str) -> dict[str, str]:
    """Every object below a URL, by hash."""
    place = place_at(url)
    return {name: hashlib.sha256(place.read(name)).hexdigest() for name in place.walk().files}


def without_locks(found: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in found.items() if not name.startswith(".lock")}


def upload(folder: Path, url: str) -> None:
    place = place_at(url)
    for path in folder.rglob("*"):
        if path.is_file():
            place.write(path.relative_to(folder).as_posix(), path.read_bytes())


@pytest.fixture
def remote(shards: Path, bucket: str) -> str:
    """The shards of the corpus in a bucket, copied there by other means than a build."""
    upload(shards, f"{bucket}/shards")
    return f"{bucket}/shards"


def test_a_bucket_holds_what_a_folder_holds(
    corpus: Path, shards: Path, bucket: str, s3_server: Server, sharder: Sharder, tmp_path: Path
) -> None:
    url = f"{bucket}/music/first try"
    options = ("--source", corpus, "--out", url, "--jobs", 2, "--shard-size", "600KiB")
    done = sharder("build", "folder", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("written 14 of 14 tracks")
    assert objects(url) == without_locks(contents(shards))
    assert s3_server.uploads(bucket.removeprefix("s3://")) == []
    assert (
        f"kept {len(open_shards(url).manifest.shards)} finished shards" in sharder("build", "folder", *options).stdout
    )
    assert sharder("verify", url).stdout.startswith(f"{url}: 14 tracks in ")
    listed = json.loads(sharder("ls", "--json", url).stdout)
    assert {**listed, "shards": ""} == {**describe(shards), "shards": ""}
    assert sharder("page", url, "--out", tmp_path / "page.html").returncode == 0
    assert (tmp_path / "page.html").stat().st_size > 100_000


def test_recordings_from_a_bucket(corpus: Path, shards: Path, bucket: str, tmp_path: Path, sharder: Sharder) -> None:
    upload(corpus, f"{bucket}/Musik für alle")
    options = ("--out", tmp_path, "--jobs", 2, "--shard-size", "600KiB")
    done = sharder("build", "folder", "--source", f"{bucket}/Musik für alle", *options)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == contents(shards)
    for source in (f"{bucket}/nothing", f"{bucket}-that-is-not-there/x"):
        done = sharder("build", "folder", "--source", source, "--out", tmp_path / "other")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("error: ")
        assert source.rpartition("/")[0] in done.stderr


def test_tasks_without_a_lock(corpus: Path, shards: Path, bucket: str) -> None:
    for index in (1, 0):
        report = build(corpus, bucket, SETTINGS, jobs=1, share=Share(index, 2))
    assert report.manifest is not None
    assert objects(bucket) == without_locks(contents(shards))


def test_a_retry_rewrites_one_shard(corpus: Path, shards: Path, bucket: str, tmp_path: Path) -> None:
    source = shutil.copytree(corpus, tmp_path / "source")
    path = next(path for path in sorted(source.glob("disc */*.mp3")))
    path.rename(tmp_path / "good")
    path.write_bytes(b"")
    first = build(source, bucket, SETTINGS, jobs=1).manifest
    assert first is not None
    assert dict(first.skipped) == {"empty": 1}
    before = objects(bucket)
    (tmp_path / "good").rename(path)
    assert build(source, bucket, SETTINGS, jobs=1, retry_failed=True).manifest is not None
    verify(bucket)
    after = objects(bucket)
    assert sum(before.get(name) != digest for name, digest in after.items() if name.endswith(".tar")) == 1
    assert {row["pcm_xxh3"] for row in open_shards(bucket).index.to_pylist()} == {
        row["pcm_xxh3"] for row in open_shards(shards).index.to_pylist()
    }


@pytest.mark.parametrize("name", ["train/000001.tar", "train/000001.idx", "train/000001.parquet", "index.parquet"])
def test_verify_finds_a_lie(remote: str, name: str) -> None:
    verify(remote, jobs=2)
    place = place_at(remote)
    data = bytearray(place.read(name))
    data[len(data) // 2] ^= 1
    place.write(name, bytes(data[:-1] if name.endswith(".parquet") else data))
    with pytest.raises(ShardError, match=name.rpartition(".")[0]):
        verify(remote, jobs=2)
    place.remove(name)
    with pytest.raises(ShardError, match=name.rpartition(".")[0]):
        verify(remote)


def start(source: Path, url: str, jobs: int = 2) -> subprocess.Popen[str]:
    """A build into a bucket, running until its third shard is finished."""
    options = ["--source", source, "--out", url, "--jobs", jobs, *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "sharding", "build", "folder", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while sum(name.endswith(".parquet") for name in place_at(url).files("train")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def check_no_lies(url: str, whole: dict[str, str]) -> None:
    """Every object there is final, and the build does not claim to be finished."""
    left = objects(url)
    assert left.items() <= whole.items()
    assert "manifest.json" not in left


def finish(source: Path, url: str, sharder: Sharder, whole: dict[str, str]) -> None:
    done = sharder("build", "folder", "--source", source, "--out", url, "--jobs", 2, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "kept " in done.stdout
    assert objects(url) == without_locks(whole)


def test_kill_9(long_corpus: Path, uninterrupted: dict[str, str], bucket: str, sharder: Sharder) -> None:
    process = start(long_corpus, bucket)
    process.kill()
    process.communicate()
    time.sleep(0.5)  # the workers see it, and end
    check_no_lies(bucket, uninterrupted)
    finish(long_corpus, bucket, sharder, uninterrupted)


@pytest.mark.needs("radosgw")
def test_a_full_bucket(
    ceph: Ceph, long_corpus: Path, uninterrupted: dict[str, str], bucket: str, sharder: Sharder
) -> None:
    ceph.quota(bucket.removeprefix("s3://"), 12 * 2**20)
    done = sharder("build", "folder", "--source", long_corpus, "--out", bucket, "--jobs", 2, *SMALL)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {bucket}")
    assert "full" in last
    assert "Traceback" not in done.stderr
    check_no_lies(bucket, uninterrupted)
    assert ceph.uploads(bucket.removeprefix("s3://")) == []
    ceph.quota(bucket.removeprefix("s3://"), 2**30)
    finish(long_corpus, bucket, sharder, uninterrupted)


@pytest.mark.needs("radosgw")
def test_a_store_that_is_gone_for_a_while(
    ceph: Ceph, long_corpus: Path, uninterrupted: dict[str, str], bucket: str
) -> None:
    process = start(long_corpus, bucket)
    ceph.kill()
    time.sleep(2)
    ceph.start()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.startswith("written 60 of 60 tracks")
    assert objects(bucket) == without_locks(uninterrupted)


@pytest.mark.needs("radosgw")
def test_wrong_keys_are_one_line_without_the_keys(
    corpus: Path, bucket: str, sharder: Sharder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-of-mine")
    done = sharder("build", "folder", "--source", corpus, "--out", bucket)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ")
    assert bucket in done.stderr
    assert "s3cr3t" not in done.stderr
    with pytest.raises((PermissionError, StorageError)):
        open_shards(bucket)
