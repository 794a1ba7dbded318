"""Reading many pieces by one call: what comes whole, and what is left to be read alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from clmr.errors import ShardError
from loaders import PairLoader
from loaders.reading import aio
from loaders.reading.aio import AT_MOST, read_together
from tests.loaders.small_shards import CROP

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """An open file of 300,000 bytes of noise."""
    path = tmp_path / "shard"
    path.write_bytes(CONTENT)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def read(descriptors: list[int], offsets: list[int], size: int) -> tuple[list[bytes], list[int]]:
    """The pieces, and the numbers of those that failed."""
    target = np.full((len(offsets), size), 7, dtype=np.uint8)
    targets = target.ctypes.data + size * np.arange(len(offsets))
    failed = read_together(descriptors, offsets, targets, size)
    return [piece.tobytes() for piece in target], failed.tolist()


def test_this_system_has_the_call() -> None:
    assert aio._numbers is not None
    assert aio._thread_context()


def test_pieces_from_anywhere(descriptor: int) -> None:
    size = 9_001
    offsets = np.random.default_rng(1).integers(0, len(CONTENT) - size + 1, AT_MOST).tolist()
    pieces, failed = read([descriptor] * AT_MOST, offsets, size)
    assert not failed
    assert pieces == [CONTENT[offset : offset + size] for offset in offsets]


def test_what_does_not_come_whole_is_named(descriptor: int) -> None:
    end = len(CONTENT)
    pieces, failed = read([descriptor] * 4, [5, end - 50, end + 9, end - 100], 100)
    assert failed == [1, 2]
    assert [pieces[0], pieces[3]] == [CONTENT[5:105], CONTENT[-100:]]


def test_what_the_kernel_refuses_stops_the_rest(descriptor: int, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    pieces, failed = read([descriptor, folder, descriptor], [0, 0, 10], 10)
    os.close(folder)
    assert failed == [1, 2]
    assert pieces[0] == CONTENT[:10]


def test_a_thread_takes_its_queue_along(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    call = aio._call

    def note(which: int, *arguments: int) -> int:
        calls.append(which)
        return call(which, *arguments)

    monkeypatch.setattr(aio, "_call", note)
    thread = Thread(target=read, args=([descriptor], [0], 10))
    thread.start()
    thread.join()
    assert calls == [aio.SETUP, aio.SUBMIT, aio.GETEVENTS, aio.DESTROY]


def test_loaders_do_without(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        expected = [batch.pcm.numpy().tobytes() for batch in loader]
    monkeypatch.setattr(aio, "_numbers", None)
    with PairLoader(shards, batch_size=8, crop_frames=CROP) as loader:
        assert [batch.pcm.numpy().tobytes() for batch in loader] == expected
        os.truncate(shards / "train" / "000000.tar", 1000)
        with pytest.raises(ShardError, match=r"000000\.tar ends before byte"):
            list(loader)
