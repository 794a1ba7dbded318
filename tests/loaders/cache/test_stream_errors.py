"""What cannot be read is an error that names the shard, for the batches that need it and for no others."""

from __future__ import annotations

import hashlib
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clmr.errors import ClmrError, ConfigError, ShardError, StorageError
from loaders.cache.content import cache_content
from loaders.cache.folder import charge, in_units
from loaders.cache.keeper import most_open
from loaders.cache.locks import HeldShard
from loaders.cache.store import ShardCache
from loaders.cache.stream import StreamSource
from loaders.reading.threads import ReaderThreads
from tests.loaders.stream_data import Remote, check, noise, reads_of, served, until

SIZE = 100_000


@pytest.fixture
def remote() -> Iterator[Remote]:
    with served(noise(4, SIZE)) as remote:
        yield remote


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    return ShardCache(tmp_path / "cache", 5 * charge(SIZE))


def error_of(remote: Remote, source: StreamSource, shards: list[int], kind: type[ClmrError]) -> str:
    """The message that reading from some shards gives; every batch gets one of its own."""
    futures = source.submit([reads_of(remote, shards)[0] for _ in range(2)])
    errors = []
    for future in futures:
        with pytest.raises(kind) as caught:
            future.result(60)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])
    return str(errors[0])


def assert_readable(remote: Remote, source: StreamSource, shards: list[int]) -> None:
    reads, expected = reads_of(remote, shards)
    check(reads, expected, source.submit([reads]))


def test_a_missing_shard(remote: Remote, source: StreamSource) -> None:
    data = remote.files["1.tar"]
    remote.status = lambda name: 404 if name == "1.tar" else 0
    source.expect(range(4))  # an error of what is fetched ahead is not told before somebody needs it
    assert_readable(remote, source, [0, 2, 3])
    assert remote.requests["HEAD 1.tar"] < 5  # nor asked for again and again
    assert error_of(remote, source, [0, 1], ShardError) == f"{remote.url}/1.tar is missing: copy or build it again"
    remote.status = lambda _: 0
    assert_readable(remote, source, [0, 1])
    assert remote.files["1.tar"] == data


def test_a_shard_that_may_not_be_read(remote: Remote, source: StreamSource) -> None:
    remote.status = lambda name: 403 if name == "1.tar" else 0
    message = error_of(remote, source, [1], StorageError)
    assert message.startswith(f"{remote.url}/1.tar: access denied (403")
    assert_readable(remote, source, [0])


def test_a_shard_that_goes_between_its_version_and_its_bytes(remote: Remote, source: StreamSource) -> None:
    def goes(name: str) -> float:
        remote.status = lambda name: 404 if name == "1.tar" else 0
        return 0.0

    remote.delay = goes  # the first range that is sent is of shard 0
    assert_readable(remote, source, [0])
    assert error_of(remote, source, [1], ShardError) == f"{remote.url}/1.tar is missing: copy or build it again"


def test_a_shard_of_another_size(remote: Remote, source: StreamSource) -> None:
    sizes = remote.sizes
    remote.files["2.tar"] += b"more"
    message = f"{remote.url}/2.tar has {sizes[2] + 4} bytes, not {sizes[2]}: copy or build it again"
    futures = source.submit([reads_of(noise(4, SIZE), [2])[0]])
    with pytest.raises(ShardError) as caught:
        futures[0].result(60)
    assert str(caught.value) == message


def test_a_shard_that_is_replaced_while_it_comes(
    remote: Remote, cache: ShardCache, source: StreamSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.cache.fetch.RANGE", 40_000)

    def replaced(name: str) -> float:
        remote.tag = "2"
        return 0.0

    remote.delay = replaced
    message = error_of(remote, source, [0], StorageError)
    assert message.startswith(f"{remote.url}/0.tar: was replaced while in use")
    assert not cache_content(cache.root)
    # It stays an error: what came first is what counts.
    assert error_of(remote, source, [0], StorageError) == message


def test_a_shard_that_was_replaced_since_it_was_evicted(remote: Remote, tmp_path: Path, threads: ReaderThreads) -> None:
    source = remote.open(ShardCache(tmp_path / "small", 2 * charge(SIZE + 4)), threads)
    for shards in ([0], [1], [2]):
        source.expect(shards)
        assert_readable(remote, source, shards)
    remote.tag = "2"
    assert "/0.tar: was replaced while in use" in error_of(remote, source, [0], StorageError)
    source.close()


def test_another_version_is_another_shard(remote: Remote, cache: ShardCache, threads: ReaderThreads) -> None:
    """Same URL and size; the cache holds both, and a run gets the bytes that its manifest names."""
    first = remote.open(cache, threads)
    assert_readable(remote, first, [0])
    first.close()
    remote.files["0.tar"] = remote.files["0.tar"][::-1]
    remote.tag = "2"
    remote.hashes = (hashlib.sha256(remote.files["0.tar"]).hexdigest(), *remote.hashes[1:])
    second = remote.open(cache, threads)
    assert_readable(remote, second, [0])
    second.close()
    assert [shard.url for shard in cache_content(cache.root)] == [f"{remote.url}/0.tar"] * 2


def test_a_damaged_transfer_is_made_again(remote: Remote, source: StreamSource) -> None:
    good = remote.files["0.tar"]
    bad = bytearray(good)
    bad[50_000] ^= 1
    remote.files["0.tar"] = bytes(bad)

    def mended(name: str) -> float:
        if remote.fetched()[name] == 2:
            remote.files["0.tar"] = good
        return 0.0

    remote.delay = mended
    reads, _ = reads_of(remote, [0], seed=1)
    source.submit([reads])[0].result(60)
    remote.files["0.tar"] = good
    assert [reads.slab.crops[row].tobytes() for row in reads.row] == reads_of(remote, [0], seed=1)[1]
    counts = source.meter.counts()
    assert (remote.fetched()["0.tar"], counts.retries, counts.read) == (2, 1, 2 * SIZE)


def test_a_damaged_shard(remote: Remote, cache: ShardCache, source: StreamSource) -> None:
    remote.files["0.tar"] = remote.files["0.tar"][::-1]
    found = hashlib.sha256(remote.files["0.tar"]).hexdigest()
    assert error_of(remote, source, [0], StorageError) == (
        f"{remote.url}/0.tar: came twice with the SHA-256 {found[:16]}..., manifest.json says "
        f"{remote.hashes[0][:16]}...: it is damaged where it lies, copy or build it again"
    )
    assert remote.fetched()["0.tar"] == 2
    assert not cache_content(cache.root)


def test_a_cached_shard_that_was_cut_is_fetched_again(
    remote: Remote, cache: ShardCache, threads: ReaderThreads
) -> None:
    for run in range(2):
        source = remote.open(cache, threads)
        assert_readable(remote, source, [0])
        source.close()
        assert remote.fetched()["0.tar"] == 1 + run
        (shard,) = cache.root.glob("*.shard")
        with shard.open("r+b") as file:
            file.truncate(1000)


def test_a_batch_that_never_fits(remote: Remote, tmp_path: Path, threads: ReaderThreads) -> None:
    """More shards at once than was said: refused where they cannot be held, read where they can."""
    with pytest.raises(ConfigError) as caught:
        remote.open(ShardCache(tmp_path / "tiny", 100_000), threads, at_once=1)
    assert str(caught.value) == (
        f"the cache {tmp_path}/tiny may hold 97.66 KiB, and this job needs at least 101.7 KiB of shards at once: "
        "raise --cache-size to 1MiB or more, give a smaller --window, or another folder with --cache"
    )
    source = remote.open(ShardCache(tmp_path / "small", 3 * charge(SIZE + 4)), threads, at_once=1)
    assert_readable(remote, source, [0, 1, 2])
    assert "raise --cache-size to 1MiB or more" in error_of(remote, source, [0, 1, 2, 3], ConfigError)
    assert_readable(remote, source, [3])
    source.close()


def test_a_batch_of_more_shards_than_may_be_open(
    remote: Remote, source: StreamSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source._keeper, "_most", 2)
    message = error_of(remote, source, [0, 1, 2], ConfigError)
    assert message.startswith(
        "a batch needs 3 shards at once, and 2 may be open: raise the limit of open files (ulimit"
    )
    assert_readable(remote, source, [1, 2])


@pytest.mark.parametrize(("allowed", "shards"), [(1024, 256), (20, 16), (resource.RLIM_INFINITY, 1 << 20)])
def test_how_many_may_be_open(monkeypatch: pytest.MonkeyPatch, allowed: int, shards: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert most_open() == shards


def test_a_cache_that_is_removed_meanwhile(remote: Remote, cache: ShardCache, source: StreamSource) -> None:
    assert_readable(remote, source, [0])
    shutil.rmtree(cache.root)
    message = error_of(remote, source, [1], StorageError)
    assert message == f"{cache.root}: the cache was removed while in use; start again"


def test_a_wait_for_room_is_told(
    remote: Remote,
    tmp_path: Path,
    threads: ReaderThreads,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("loaders.cache.keeper.MESSAGE_SECONDS", 0.1)
    cache = ShardCache(tmp_path / "small", 2 * charge(SIZE + 4))
    source = remote.open(cache, threads)
    assert_readable(remote, source, [0, 1])
    held = [HeldShard(path) for path in cache.root.glob("*.shard")]
    reads, expected = reads_of(remote, [2, 3])
    waiting = source.submit([reads])
    until(lambda: caplog.messages)
    assert caplog.messages == [
        f"waiting for room in the cache {cache.root}: all of its {in_units(cache.limit_bytes)} are in use by 1 job(s)"
    ]
    held.clear()
    check(reads, expected, waiting)
    source.close()


def test_repetitions_end_with_the_source(
    remote: Remote, cache: ShardCache, source: StreamSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server fails after the first range, and would be asked again for two minutes."""
    monkeypatch.setattr("loaders.cache.fetch.RANGE", 40_000)

    def fails(name: str) -> float:
        remote.status = lambda _: 503
        return 0.0

    remote.delay = fails
    (waiting,) = source.submit([reads_of(remote, [0])[0]])
    until(lambda: source.meter.counts().retries >= 4)
    source.close()
    with pytest.raises(ConfigError, match="closed"):
        waiting.result(0)
    assert not list(cache.root.glob("*.part"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shard-request")]
