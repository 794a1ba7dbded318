"""Locks on descriptors: held as long as somebody needs the file, and not by what was forked meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders.cache.locks import ALONE, SHARED, HeldShard, Part, close_locked, is_held, open_locked
from tests.loaders.stream_data import forked, leave


def test_one_alone_or_many_together(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert not is_held(path)
    together = [open_locked(path, SHARED) for _ in range(2)]
    with pytest.raises(BlockingIOError):
        open_locked(path, ALONE)
    close_locked(together[0])
    assert is_held(path)
    close_locked(together[1])
    alone = open_locked(path, ALONE)
    with pytest.raises(BlockingIOError):
        open_locked(path, SHARED)
    close_locked(alone)
    assert not is_held(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not is_held(path)
    with pytest.raises(FileNotFoundError):
        HeldShard(path)
    close_locked(open_locked(path, ALONE, create=True))
    assert path.exists()


def test_a_shard_is_held_until_the_last_reader_lets_go(tmp_path: Path) -> None:
    part = Part(tmp_path / "0.part")
    assert is_held(part.path)
    shard = part.path.rename(tmp_path / "0.shard")
    part.let_go()
    held = HeldShard(shard)
    os.utime(shard, (0, 0))
    held.touch()
    assert shard.stat().st_mtime > 0
    reader = held
    del held, part
    assert is_held(shard)
    del reader
    assert not is_held(shard)


def test_a_lock_does_not_outlive_its_process_in_a_child(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    lock = open_locked(path, SHARED)

    def child() -> str:
        close_locked(lock)  # as a destructor in the child does: not the parent's business
        return "closed"

    with forked(child) as said:
        assert said == "closed"
        assert is_held(path)
        leave([lock])
        assert not is_held(path)
    close_locked(lock)
