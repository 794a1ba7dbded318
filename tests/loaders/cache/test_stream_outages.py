"""Servers that go away, disks that are full, programs that end: nothing hangs, nothing half done stays."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loaders.cache.content import cache_content
from loaders.cache.store import ShardCache
from loaders.reading.threads import ReaderThreads
from sharding.storage import place_at
from tests.loaders.stream_data import Remote, check, noise, reads_of, served, until
from tests.servers.ceph import Ceph

SIZE = 20_000_000


@pytest.mark.needs("radosgw")
@pytest.mark.parametrize("how", ["killed and started", "paused"])
def test_an_outage_of_seconds_is_survived(
    bucket: str, ceph: Ceph, how: str, tmp_path: Path, threads: ReaderThreads
) -> None:
    remote = noise(4, SIZE)
    remote.url = bucket
    place = place_at(bucket)
    for name, data in remote.files.items():
        place.write(name, data)
    source = remote.open(ShardCache(tmp_path / "cache", 5 * SIZE), threads, requests=2)
    reads, expected = reads_of(remote, range(4))
    futures = source.submit([reads])
    until(lambda: source.meter.counts().read > 0)
    (ceph.kill if how == "killed and started" else ceph.pause)()
    time.sleep(1)
    assert not futures[0].done()
    (ceph.start if how == "killed and started" else ceph.resume)()
    check(reads, expected, futures)
    counts = source.meter.counts()
    assert counts.read == sum(remote.sizes)
    if how == "killed and started":
        assert counts.retries > 0
    source.close()
    assert {shard.url for shard in cache_content(tmp_path / "cache")} == {f"{bucket}/{name}" for name in remote.names}


PROGRAM = """
import shutil, sys
from pathlib import Path
from clmr.errors import one_line_errors
from loaders.cache.store import ShardCache
from loaders.reading.threads import ReaderThreads
from tests.loaders.stream_data import check, noise, reads_of, until

how, url, folder, number, size = sys.argv[1:]
remote = noise(int(number), int(size))
remote.url = url

@one_line_errors()
def main():
    global source
    source = remote.open(ShardCache(Path(folder), 2**30), ReaderThreads(1), at_once=1)
    for shard in range(len(remote.files)):
        reads, expected = reads_of(remote, [shard])
        futures = source.submit([reads])
        until(lambda: len(list(Path(folder).glob("*.part"))) or futures[0].done())
        print("under way", flush=True)
        if how != "ends":
            check(reads, expected, futures)
        if how == "fills":
            disk = Path(folder).parent
            (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free))

main()
"""
REPOSITORY = Path(__file__).resolve().parents[3]


def program(remote: Remote, cache: Path, how: str) -> list[str]:
    """A program that reads from one shard after the other, and waits for each or does not."""
    numbers = (str(len(remote.files)), str(remote.sizes[0]))
    return [sys.executable, "-c", PROGRAM, how, remote.url, str(cache), *numbers]


@pytest.mark.parametrize("how", ["waits", "ends"])
def test_a_program_ends_with_shards_under_way(tmp_path: Path, how: str) -> None:
    """By Ctrl-C, or because it is through and never closed what it opened. The server does not answer."""
    with served(noise(2, 100_000)) as remote:
        remote.delay = lambda _: 20.0
        command = program(remote, tmp_path / "cache", how)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "under way\n"
            if how == "waits":
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (
        (130, "interrupted; run the same command again to go on\n") if how == "waits" else (0, "")
    )
    assert not list((tmp_path / "cache").glob("*.part"))


# In a mount namespace of its own: a disk that has room for one shard until the program itself fills it.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=300k none "$DISK"
"$@"
echo "status $?"
ls "$DISK/cache"
"""


@pytest.mark.needs("right:tmpfs")
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    cache = tmp_path / "disk/cache"
    with served(noise(2, 200_000)) as remote:
        done = subprocess.run(
            [
                *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"),
                *program(remote, cache, "fills"),
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DISK": str(tmp_path / "disk")},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            cwd=REPOSITORY,
        )
    error = r"error: the disk of the cache .*/disk/cache is full: 0 KiB free, [0-9.]+ KiB needed for http.*/1.tar: free"
    assert re.match(error, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    said = done.stdout.splitlines()
    assert said[2:3] == ["status 1"]
    assert sorted(name.partition(".")[2] for name in said[3:]) == ["", "json", "shard"]  # the first shard, and jobs
    assert remote.fetched() == {"0.tar": 1, "1.tar": 0}
