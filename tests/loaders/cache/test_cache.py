"""The cache of shards: its limit, what goes first, and who may fetch."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clmr.errors import ConfigError, StorageError
from loaders.cache.folder import RemoteShard, charge
from loaders.cache.jobs import Membership
from loaders.cache.locks import HeldShard, Part, is_held
from loaders.cache.store import Refusal, ShardCache, cache_root, default_limit

SIZE = 1000


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    """With room for three shards."""
    return ShardCache(tmp_path / "cache", 3 * charge(SIZE))


@pytest.fixture
def member(cache: ShardCache) -> Iterator[Membership]:
    member = cache.join("data", charge(SIZE))
    yield member
    member.close()


def remote(number: int, size: int = SIZE) -> RemoteShard:
    return RemoteShard(f"s3://bucket/{number}.tar", size, "tag", "")


def put(cache: ShardCache, member: Membership, number: int, *, used: float | None = None) -> HeldShard:
    """Fetch a shard."""
    part = cache.take(remote(number), member, urgent=True)
    assert isinstance(part, Part)
    cache.allocate(remote(number), part)
    os.pwrite(part.descriptor, bytes([number]) * SIZE, 0)
    held = cache.publish(part)
    if used is not None:
        os.utime(held.path, (used, used))
    return held


def there(cache: ShardCache) -> set[int]:
    """The shards that the cache holds."""
    return {path.read_bytes()[0] for path in cache.root.glob("*.shard")}


def test_a_shard_is_fetched_by_one_and_held_by_all(cache: ShardCache, member: Membership) -> None:
    part = cache.take(remote(1), member, urgent=True)
    assert isinstance(part, Part)
    assert part.path.stat().st_size == SIZE  # counts in full from the beginning
    assert cache.take(remote(1), member, urgent=True) is Refusal.BUSY
    first = cache.publish(part)
    second = cache.take(remote(1), member, urgent=True)
    assert isinstance(second, HeldShard)
    assert os.fstat(first.descriptor).st_ino == os.fstat(second.descriptor).st_ino
    assert is_held(second.path)


def test_a_part_that_was_given_up_is_free_again(cache: ShardCache, member: Membership) -> None:
    part = cache.take(remote(1), member, urgent=True)
    assert isinstance(part, Part)
    cache.drop(part)
    assert isinstance(cache.take(remote(1), member, urgent=True), Part)


def test_what_was_used_longest_ago_goes_first(cache: ShardCache, member: Membership) -> None:
    for number, used in ((1, 300.0), (2, 100.0), (3, 200.0)):
        put(cache, member, number, used=used)
    taken = cache.take(remote(2), member, urgent=False)  # which is a use
    assert isinstance(taken, HeldShard)
    del taken
    put(cache, member, 4)
    assert there(cache) == {1, 2, 4}
    put(cache, member, 5)
    assert there(cache) == {2, 4, 5}
    assert {path.stem for path in cache.root.glob("*.json")} == {path.stem for path in cache.root.glob("*.shard")}


def test_what_is_in_use_stays(cache: ShardCache, member: Membership) -> None:
    held = [put(cache, member, number, used=number) for number in (1, 2, 3)]
    assert cache.take(remote(4), member, urgent=True) is Refusal.FULL
    assert there(cache) == {1, 2, 3}
    del held[1]
    put(cache, member, 4)
    assert there(cache) == {1, 3, 4}


def test_nothing_goes_where_that_would_not_do(cache: ShardCache, member: Membership) -> None:
    held = [put(cache, member, number) for number in (1, 2)]
    put(cache, member, 3)
    assert cache.take(remote(4, 2 * SIZE), member, urgent=True) is Refusal.FULL
    assert there(cache) == {1, 2, 3}
    del held


def test_nothing_is_fetched_ahead_while_somebody_waits(cache: ShardCache, member: Membership) -> None:
    other = cache.join("data", charge(SIZE))
    other.wait_for_room(waiting=True)
    assert cache.take(remote(1), member, urgent=False) is Refusal.FULL
    assert isinstance(cache.take(remote(1), member, urgent=True), Part)
    other.close()


def test_a_smaller_limit_holds_at_once(cache: ShardCache, member: Membership) -> None:
    """For those who were there before, too."""
    put(cache, member, 1, used=1)
    held = put(cache, member, 2, used=2)
    put(cache, member, 3, used=3)
    small = ShardCache(cache.root, 2 * charge(SIZE)).join("data", charge(SIZE))
    assert there(cache) == {2, 3}
    put(cache, member, 4)
    assert there(cache) == {2, 4}
    small.close()
    put(cache, member, 5)
    assert there(cache) == {2, 4, 5}
    del held


def test_a_full_disk(cache: ShardCache, member: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may have less room than the limit says: others use it too."""
    put(cache, member, 1)
    free = charge(SIZE) - 1
    usage = shutil.disk_usage(cache.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    put(cache, member, 2)  # in the room of the first, which is what the disk is short of
    assert there(cache) == {2}
    held = cache.take(remote(2), member, urgent=True)
    assert cache.take(remote(3), member, urgent=True) is Refusal.DISK
    del held
    assert str(cache.disk_full(remote(3))) == (
        f"the disk of the cache {cache.root} is full: 4.976 KiB free, 0.9766 KiB needed for s3://bucket/3.tar: "
        "free space there, or give another folder with --cache"
    )
    with pytest.raises(ConfigError, match=r"has 4.976 KiB free, and this job needs at least .* KiB of shards at once"):
        cache.join("data", 2 * charge(SIZE))
    free = 10 * charge(SIZE)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    part = cache.take(remote(4), member, urgent=True)
    assert isinstance(part, Part)
    with pytest.raises(StorageError, match="is full"):
        cache.allocate(remote(4), part)
    cache.drop(part)
    monkeypatch.setattr(cache.folder, "write_note", no_room)
    with pytest.raises(StorageError, match="is full"):
        cache.take(remote(4), member, urgent=True)


def test_a_disk_that_fails(cache: ShardCache, member: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(StorageError) as caught:
        cache.take(remote(1), member, urgent=True)
    assert str(caught.value) == (
        f"the cache {cache.root} failed (Input/output error): start again, or give another folder with --cache"
    )


def test_a_cache_needs_room(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--cache-size is 0 bytes"):
        ShardCache(tmp_path / "cache", 0)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root({"CLMR_CACHE": "/nvme/shards"}) == Path("/nvme/shards")
    monkeypatch.setenv("HOME", "/home/anna")
    assert cache_root({}) == cache_root({"CLMR_CACHE": ""}) == Path("/home/anna/.cache/clmr/shards")


def test_how_much_it_may_hold(cache: ShardCache, member: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(cache.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    assert default_limit(cache.root.parent / "not" / "yet") == 800_000
    assert not (cache.root.parent / "not").exists()
    put(cache, member, 1)
    assert default_limit(cache.root) == 800_000 + charge(SIZE)
    (cache.root.parent / "0000.shard").touch()
    assert default_limit(cache.root.parent) == 800_000  # no cache
