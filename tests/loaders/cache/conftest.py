"""Shards on a server, a cache for them, and the source between the two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loaders.cache.store import ShardCache
from loaders.cache.stream import StreamSource
from loaders.reading.threads import ReaderThreads
from tests.loaders.stream_data import Remote


@pytest.fixture
def threads() -> Iterator[ReaderThreads]:
    """One thread."""
    threads = ReaderThreads(1)
    yield threads
    threads.close()


@pytest.fixture
def source(remote: Remote, cache: ShardCache, threads: ReaderThreads) -> Iterator[StreamSource]:
    """From ``remote`` through ``cache``, which a test's file defines."""
    source = remote.open(cache, threads)
    yield source
    source.close()
