"""The reading threads end when they should."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from clmr.errors import ConfigError
from loaders.reading.threads import ReaderThreads, default_threads


def readers() -> int:
    return sum(thread.name.startswith("shard-reader") for thread in threading.enumerate())


def test_errors_reach_the_one_who_waits() -> None:
    threads = ReaderThreads(2)

    def fail() -> None:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        threads.submit(fail).result()
    done = threading.Event()
    threads.submit(done.set).result()
    assert done.is_set()
    threads.close()


def test_close_drops_what_waits() -> None:
    threads = ReaderThreads(1)
    begun, hold = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        hold.wait(5)

    running = threads.submit(first)
    begun.wait(5)
    waiting = [threads.submit(lambda: time.sleep(60)) for _ in range(3)]
    threading.Timer(0.05, hold.set).start()
    threads.close()
    running.result(timeout=60)
    assert all(future.cancelled() for future in waiting)
    assert readers() == 0
    with pytest.raises(ConfigError, match="closed"):
        threads.submit(first)


def test_threads_end_with_the_last_reference() -> None:
    threads = ReaderThreads(3)
    assert readers() == 3
    del threads
    gc.collect()
    assert readers() == 0


def test_at_least_one_thread() -> None:
    assert 1 <= default_threads() <= 4
    with pytest.raises(ConfigError, match="threads is 0"):
        ReaderThreads(0)
