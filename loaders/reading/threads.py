"""A few threads that work off jobs in order and never keep the program from ending.

The standard library's executor finishes every waiting job before the interpreter may exit; on a slow disk that turns
Ctrl-C into a long wait. These threads drop what waits.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Event, Thread, current_thread

from clmr.errors import ConfigError

CLOSING_SECONDS = 1.0
"""How long closing waits for jobs that are under way."""

_Job = tuple["Future[None]", Callable[[], None]]


def default_threads() -> int:
    """Reading threads when the user names no number: the cores this process may use, at most 4."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, 4)


def _work(jobs: SimpleQueue[_Job | None], stopped: Event) -> None:
    while (job := jobs.get()) is not None:
        future, function = job
        if stopped.is_set() or not future.set_running_or_notify_cancel():
            future.cancel()
            continue
        try:
            function()
        except BaseException as error:  # handed to whoever waits for it
            future.set_exception(error)
        else:
            future.set_result(None)
        del job, future, function  # an idle thread holds no batch


def _stop(jobs: SimpleQueue[_Job | None], stopped: Event, threads: list[Thread]) -> None:
    stopped.set()
    for _ in threads:
        jobs.put(None)
    join_all(threads, CLOSING_SECONDS)


def join_all(threads: Iterable[Thread], seconds: float) -> None:
    """Wait for threads to end, all together for so long at most: one that hangs must not hang the exit."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        if thread is not current_thread():  # which may be the one that held the last reference
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


class ProcessGuard:
    """Refuses to go on in a forked child: there a read under way at the fork never ends."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def check(self) -> None:
        """Make sure that this is the process that made the guard.

        Raises:
            ConfigError: it is not.
        """
        if os.getpid() != self._process:
            raise ConfigError(
                f"this loader belongs to process {self._process}: threads do not survive fork(); "
                "make the loader in the process that reads from it"
            )


class ReaderThreads:
    """``count`` daemon threads over one queue. Ends with :meth:`close`, with the last reference, or at exit."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"threads is {count}: at least 1 thread must read")
        self.count = count
        self._guard = ProcessGuard()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = Event()
        threads = [
            Thread(target=_work, args=(self._jobs, self._stopped), name=f"shard-reader-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        self.close = weakref.finalize(self, _stop, self._jobs, self._stopped, threads)

    def submit(self, function: Callable[[], None]) -> Future[None]:
        """Run ``function`` in a thread; the future carries its error.

        Raises:
            ConfigError: after :meth:`close`, or in a forked child, where the threads do not exist.
        """
        self._guard.check()
        if self._stopped.is_set():
            raise ConfigError("this loader is closed: make a new one")
        future: Future[None] = Future()
        self._jobs.put((future, function))
        return future
