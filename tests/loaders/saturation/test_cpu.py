"""Processor time is told by thread: who computes, who stands in the queue, who sleeps."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from loaders.saturation import cpu
from loaders.saturation.cpu import CpuClock, available_cores


def compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def compute_until(stop: threading.Event) -> None:
    while not stop.is_set():
        pass


def test_a_computing_thread_wants_a_core_and_a_sleeping_one_none() -> None:
    clock = CpuClock()
    compute(0.3)
    busy = clock.use()
    assert busy.cores > 0.7, "it ran or stood in the queue"
    assert 0 < busy.busiest <= 1
    clock = CpuClock()
    time.sleep(0.3)
    idle = clock.use()
    assert idle.busiest < 0.5
    assert idle.cores < 0.5


def test_every_thread_counts() -> None:
    stop = threading.Event()
    sleeper = threading.Thread(target=stop.wait)
    worker = threading.Thread(target=compute_until, args=(stop,))
    clock = CpuClock()
    sleeper.start()
    worker.start()
    time.sleep(0.3)
    use = clock.use()
    stop.set()
    sleeper.join()
    worker.join()
    assert use.cores > 0.5


def test_without_the_systems_account_the_process_is_one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpu, "THREADS", tmp_path)
    clock = CpuClock()
    compute(0.2)
    use = clock.use()
    assert 0 < use.busiest <= 1.0
    assert use.cores > 0


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = available_cores()
    assert alone >= 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_cores() == alone / 4
