"""What is in memory is copied, what is not is never touched."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loaders.pagecache import CachedPages

PAGE = mmap.PAGESIZE
PAGES = 64


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """Descriptor of a file of 64 pages; pages 20 to 29 are written, so in memory, the rest is a hole nobody read."""
    path = tmp_path / "shard"
    with path.open("wb") as writer:
        writer.truncate(PAGES * PAGE)
        writer.seek(20 * PAGE)
        writer.write(np.random.default_rng(0).bytes(10 * PAGE))
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def cached_pages(descriptor: int) -> CachedPages:
    cached = CachedPages.of(descriptor)
    assert cached is not None
    return cached


@pytest.mark.parametrize(
    ("first", "size", "there"),
    [
        (20 * PAGE, 10 * PAGE, True),
        (20 * PAGE + 1, 10 * PAGE - 1, True),
        (22 * PAGE - 7, 9, True),
        (29 * PAGE, PAGE, True),
        (20 * PAGE - 1, 2, False),
        (29 * PAGE + 1, PAGE, False),
        (5 * PAGE, 3 * PAGE, False),
        (19 * PAGE, 12 * PAGE, False),
        (PAGES * PAGE - 1, 1, False),
        (PAGES * PAGE - 1, 2, False),
        (90 * PAGE, 10, False),
    ],
)
def test_only_pages_in_memory_are_copied(file: int, first: int, size: int, there: bool) -> None:
    target = np.full(size, 7, np.uint8)
    assert cached_pages(file).copy(target, first) is there
    if there:
        assert target.tobytes() == os.pread(file, size, first)
    else:
        assert (target == 7).all()


def test_what_was_cut_off_is_not_touched(file: int) -> None:
    cached = cached_pages(file)
    target = np.empty(PAGE, np.uint8)
    assert cached.copy(target, 25 * PAGE)
    os.truncate(f"/dev/fd/{file}", 22 * PAGE)
    assert not cached.copy(target, 25 * PAGE)  # to touch that page would end the process
    assert cached.copy(target, 21 * PAGE)


def test_who_may_not_ask_gets_none(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.fstat(file).st_uid + 1)
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert CachedPages.of(file) is not None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert CachedPages.of(file) is None
