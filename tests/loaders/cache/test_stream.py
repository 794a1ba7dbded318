"""Whole shards through a cache: the right bytes, in the order of their use, and no batch waits for another's shards."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from loaders.cache import fetch as cache_fetch
from loaders.cache.content import cache_content
from loaders.cache.folder import charge, in_units
from loaders.cache.store import ShardCache
from loaders.cache.stream import StreamSource
from loaders.reading.files import ShardFiles
from loaders.reading.local import LocalSource
from loaders.reading.threads import ReaderThreads
from tests.loaders.stream_data import Remote, check, forked, leave, noise, reads_of, served, until

SIZE = 100_000


@pytest.fixture
def remote() -> Iterator[Remote]:
    with served(noise(6, SIZE)) as remote:
        yield remote


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    """With room for all shards."""
    return ShardCache(tmp_path / "cache", 7 * charge(SIZE))


def wait(event: threading.Event) -> None:
    assert event.wait(60)


class Gate:
    """Keeps the server from sending shards until it is opened for them."""

    def __init__(self, remote: Remote, *closed: int) -> None:
        self._closed = {remote.names[number]: threading.Event() for number in closed}
        remote.delay = self._wait

    def _wait(self, name: str) -> float:
        if name in self._closed:
            self._closed[name].wait(60)
        return 0.0

    def open(self) -> None:
        for event in self._closed.values():
            event.set()


def test_the_bytes_are_those_of_the_shards(
    remote: Remote, source: StreamSource, threads: ReaderThreads, tmp_path: Path
) -> None:
    """As the server has them, and as they are read from files."""
    (tmp_path / "local").mkdir()
    for name, data in remote.files.items():
        (tmp_path / "local" / name).write_bytes(data)
    local = LocalSource(ShardFiles(tmp_path / "local", remote.names, remote.sizes), threads)
    streamed, expected = reads_of(remote, range(6), count=300)
    check(streamed, expected, source.submit([streamed]))
    read, _ = reads_of(remote, range(6), count=300)
    check(read, expected, local.submit([read]))
    assert streamed.slab.pcm.tobytes() == read.slab.pcm.tobytes()


def test_many_small_ranges_make_a_shard(
    remote: Remote, cache: ShardCache, threads: ReaderThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_fetch, "RANGE", 7000)
    source = remote.open(cache, threads, requests=8)
    reads, expected = reads_of(remote, range(6), count=300)
    check(reads, expected, source.submit([reads]))
    source.close()
    counts = source.meter.counts()
    assert counts.requests == sum(-(-size // 7000) for size in remote.sizes) == counts.latencies.sum()
    assert (counts.read, counts.wanted, counts.retries) == (sum(remote.sizes), 300 * 1000, 0)


@pytest.mark.parametrize("waited_for", [False, True])
def test_what_is_expected_comes_in_its_order(
    remote: Remote, cache: ShardCache, threads: ReaderThreads, *, waited_for: bool
) -> None:
    """Ahead of use, and where a batch waits for all of it."""
    order = [3, 1, 5, 0, 4, 2]
    source = remote.open(cache, threads, requests=1)
    came: list[str] = []

    def sent(name: str) -> float:
        came.append(name)
        return 0.0

    remote.delay = sent
    source.expect(order)
    if waited_for:
        source.submit([reads_of(remote, range(6))[0]])
    until(lambda: len(list(cache.root.glob("*.shard"))) == 6)
    source.close()
    assert came == [remote.names[number] for number in order]


def test_later_runs_ask_for_versions_only(remote: Remote, cache: ShardCache, threads: ReaderThreads) -> None:
    for run in range(2):
        remote.requests.clear()
        source = remote.open(cache, threads)
        for epoch in range(2):
            source.expect(range(6))
            reads, expected = reads_of(remote, range(6), seed=epoch)
            check(reads, expected, source.submit([reads]))
        source.close()
        asked = {f"HEAD {name}": 1 for name in remote.names}
        assert {what: times for what, times in remote.requests.items() if what.startswith("HEAD")} == asked
        if run == 1:
            assert dict(remote.requests) == asked
            assert source.meter.counts().read == 0


def test_a_batch_comes_when_its_own_shards_are_there(
    remote: Remote, source: StreamSource, threads: ReaderThreads
) -> None:
    """One thread reads; fifty batches that wait for a shard do not keep it from the others."""
    gate = Gate(remote, 0)
    blocked = [reads_of(remote, [0, number], seed=number) for number in range(1, 6) for _ in range(10)]
    waiting = source.submit([reads for reads, _ in blocked])
    for number in range(1, 6):
        reads, expected = reads_of(remote, [number], seed=10 + number)
        check(reads, expected, source.submit([reads]))
    assert not any(future.done() for future in waiting)
    gate.open()
    for (reads, expected), future in zip(blocked, waiting, strict=True):
        check(reads, expected, [future])


def test_a_small_cache_lets_go_of_what_is_through(remote: Remote, tmp_path: Path, threads: ReaderThreads) -> None:
    cache = ShardCache(tmp_path / "cache", 3 * charge(SIZE + 6))
    source = remote.open(cache, threads)
    for first in range(5):
        source.expect(range(first, 6))
        reads, expected = reads_of(remote, [first, first + 1])
        check(reads, expected, source.submit([reads]))
    source.expect([5])
    until(lambda: sum(shard.in_use for shard in cache_content(cache.root)) == 1)
    content = cache_content(cache.root)
    assert [shard.url for shard in content if shard.in_use] == [f"{remote.url}/5.tar"]
    assert len(content) <= 3
    assert set(remote.fetched().values()) == {1}
    source.close()
    assert not any(shard.in_use for shard in cache_content(cache.root))


def test_cancelled_reads_need_nothing(remote: Remote, source: StreamSource, threads: ReaderThreads) -> None:
    gate = Gate(remote, 0)
    (cancelled,) = source.submit([reads_of(remote, [0])[0]])
    assert cancelled.cancel()
    reads, expected = reads_of(remote, [1])
    check(reads, expected, source.submit([reads]))
    gate.open()
    source.expect([0])  # to be held from now on
    reads, expected = reads_of(remote, [0])
    check(reads, expected, source.submit([reads]))
    assert not source.submit([])
    # Once its shards are there, a batch is as good as read.
    busy = threading.Event()
    threads.submit(partial(wait, busy))
    futures = source.submit([reads])
    assert not futures[0].cancel()
    busy.set()
    check(reads, expected, futures)


def test_a_folder_on_a_slow_disk_can_be_cached_too(tmp_path: Path, threads: ReaderThreads) -> None:
    remote = noise(3, SIZE)
    (tmp_path / "slow").mkdir()
    for name, data in remote.files.items():
        (tmp_path / "slow" / name).write_bytes(data)
    remote.url = str(tmp_path / "slow")
    cache = ShardCache(tmp_path / "cache", 4 * charge(SIZE))
    source = remote.open(cache, threads)
    reads, expected = reads_of(remote, range(3))
    check(reads, expected, source.submit([reads]))
    source.close()
    assert {shard.url for shard in cache_content(cache.root)} == {f"{tmp_path}/slow/{name}" for name in remote.names}


def request_threads() -> int:
    return sum(thread.name.startswith("shard-request") for thread in threading.enumerate())


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_the_end_while_shards_are_under_way(
    remote: Remote, cache: ShardCache, threads: ReaderThreads, how: str
) -> None:
    gate = Gate(remote, 0, 1)
    source = remote.open(cache, threads)
    (waiting,) = source.submit([reads_of(remote, [0, 1])[0]])
    source.expect([2])
    until(lambda: len(list(cache.root.glob("*.part"))) == 2)
    if how == "closed":
        source.close()
        source.close()
        with pytest.raises(ConfigError, match="closed"):
            source.submit([reads_of(remote, [2])[0]])
    del source
    gc.collect()
    with pytest.raises(ConfigError, match="closed"):
        waiting.result(60)
    gate.open()
    until(lambda: not request_threads())
    assert not list(cache.root.glob("*.part"))
    assert not list((cache.root / "jobs").glob("*.job"))
    assert not any(shard.in_use for shard in cache_content(cache.root))


def test_a_forked_child_is_refused_and_holds_nothing(remote: Remote, cache: ShardCache, threads: ReaderThreads) -> None:
    """What a killed parent held is free, though the child lives: it has copies of all its descriptors."""
    source = remote.open(cache, threads)
    reads, expected = reads_of(remote, range(6))
    check(reads, expected, source.submit([reads]))

    def child() -> str:
        try:
            source.submit([reads])
        except ConfigError as error:
            source.close()
            return str(error)
        return "no error"

    source.expect(range(6))
    with forked(child) as said:
        assert "threads do not survive fork()" in said
        check(reads, expected, source.submit([reads]))
        leave([shard.descriptor for shard in source._keeper._held.values()])
        assert not any(shard.in_use for shard in cache_content(cache.root))
    source.close()


def test_what_it_says_of_itself(remote: Remote, cache: ShardCache, threads: ReaderThreads) -> None:
    source = remote.open(cache, threads, at_once=2)
    assert source.minimum == charge(SIZE + 5) + charge(SIZE + 4)
    assert source.description == (
        f"whole shards through the cache {cache.root} of {in_units(cache.limit_bytes)}, of which "
        f"{in_units(source.minimum)} are needed at least"
    )
    source.close()
