"""How much of the processor a stretch of work took, thread by thread: whether the CPU was what held it up."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

THREADS = Path("/proc/self/task")  # Linux


@dataclass(frozen=True)
class CpuUse:
    """What the threads of this process wanted of the processor, in the mean over a stretch of time."""

    cores: float
    """Cores they ran on, or stood in the queue for while others ran there."""
    busiest: float
    """Share of the time that the thread which ran most ran, from 0 to 1."""


def available_cores() -> float:
    """Cores this process may use, shared evenly with the other ranks that torchrun started on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class CpuClock:
    """Counts from the moment it is made. Threads that ended before :meth:`use` are not counted."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._before = _by_thread()

    def use(self) -> CpuUse:
        """The use since then."""
        after = _by_thread()
        passed = max(time.perf_counter() - self._begin, 1e-9)
        ran, queued = 0.0, 0.0
        busiest = 0.0
        for thread, (runs, waits) in after.items():
            ran_before, queued_before = self._before.get(thread, (0.0, 0.0))
            here = max(0.0, runs - ran_before)
            ran += here
            queued += max(0.0, waits - queued_before)
            busiest = max(busiest, here)
        return CpuUse(cores=(ran + queued) / passed, busiest=min(1.0, busiest / passed))


def _by_thread() -> dict[str, tuple[float, float]]:
    """Seconds that each thread has run, and stood in the queue for a core; where that is not told, all in one."""
    seconds = {}
    for status in THREADS.glob("*/schedstat"):
        try:
            _, queued, _ = status.read_text().split()
            seconds[status.parent.name] = (_has_run(int(status.parent.name)), int(queued) / 1e9)
        except (OSError, ValueError):  # the thread has just ended
            continue
    return seconds or {"all": (time.process_time(), 0.0)}


def _has_run(thread: int) -> float:
    """Seconds that a thread of this process has run, by its clock.

    The first number of ``schedstat`` would say the same, but stands still while a thread has a core to itself.
    """
    # linux/posix-timers.h, MAKE_THREAD_CPUCLOCK: the thread's number inverted, and 2 for its running time, 4 for one
    # thread alone.
    return time.clock_gettime(~thread << 3 | 2 | 4)
