"""Open shards: few at a time, and never closed under a reader."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from clmr.errors import ShardError
from loaders.reading.files import ShardFiles


@pytest.fixture
def files(tmp_path: Path) -> ShardFiles:
    """Ten files of 1,000 bytes; byte values tell the file."""
    names = tuple(f"{number}.tar" for number in range(10))
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([number]) * 1000)
    return ShardFiles(tmp_path, names, (1000,) * 10, limit=3)


def test_the_one_opened_longest_ago_is_closed(files: ShardFiles) -> None:
    for number in (0, 1, 2, 0, 3):
        files[number]
    assert list(files._open) == [1, 2, 3]


def test_an_evicted_shard_stays_open_for_its_reader(files: ShardFiles) -> None:
    held = files[0]
    for number in range(1, 10):
        files[number]
    buffer = np.ones(10, np.uint8)
    held.read_into(buffer, 500)
    assert not buffer.any()
    descriptor = held.descriptor
    del held
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_many_threads_read_the_right_files(files: ShardFiles) -> None:
    def read(number: int) -> bool:
        buffer = np.full(64, 99, np.uint8)
        files[number].read_into(buffer, 17)
        return bool((buffer == number).all())

    numbers = np.random.default_rng(0).integers(0, 10, 5000).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, numbers))
    files.close()
    assert not files._open


def test_a_read_beyond_the_end_names_the_byte(files: ShardFiles) -> None:
    with pytest.raises(ShardError, match=r"4\.tar ends before byte 1010, 10 bytes short"):
        files[4].read_into(np.empty(20, np.uint8), 990)


def test_a_device_error_names_the_byte(files: ShardFiles) -> None:
    shard = files[0]
    directory = os.open(files.root, os.O_RDONLY)
    os.dup2(directory, shard.descriptor)  # reading a folder fails with EISDIR
    os.close(directory)
    with pytest.raises(ShardError, match=r"0\.tar cannot be read at byte 5: Is a directory"):
        shard.read_into(np.empty(20, np.uint8), 5)
