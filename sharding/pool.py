"""Shards written by several processes that watch each other die.

Progress and the wish to stop travel through shared memory, without locks: a killed process can hold none. A worker
whose parent is gone ends itself; a parent whose worker is gone says so, and names what was being decoded.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_int64
from dataclasses import replace
from functools import partial
from itertools import compress
from multiprocessing.connection import wait as wait_for_death
from multiprocessing.sharedctypes import RawArray
from typing import Any

from clmr.errors import ClmrError
from sharding.datasets.catalog import Recording
from sharding.engine import Progress, completed
from sharding.suspects import crashing
from sharding.write import ShardJob, ShardResult, write_shard

Board = Any
"""Shared int64 cells, all 0 at first: [stop, then for each shard the four below]."""
IN_HAND, ATTEMPTED, SAMPLES, FINISHED = range(4)  # the first: number of the recording in hand, from 1
CELLS = 4
_board: Board = None


class StoppedError(Exception):
    """A worker leaves its shard, because the build is ending; only the parent sees it, and passes it over."""


def run_here(jobs: Sequence[ShardJob], processes: int, progress: Progress) -> None:
    """Write shards in processes of this machine.

    A recording that makes the decoder crash is found and left out, and the work goes on.

    Args:
        jobs: what to write.
        processes: how many at a time.
        progress: hears of every recording.

    Raises:
        ClmrError: a worker was killed by other means. Every finished shard stays, and no other file.
    """
    before = (0, 0)
    while jobs:
        board = RawArray(c_int64, 1 + CELLS * len(jobs))
        try:
            _run(jobs, processes, board, partial(_add, progress, before))
        except BrokenProcessPool as error:
            suspects = _in_hand(jobs, board)
            crashes = crashing(suspects)
            if not crashes:
                raise ClmrError(_killed([recording.source for _, recording in suspects])) from error
            finished = board[1 + FINISHED :: CELLS]
            before = (
                before[0] + sum(compress(board[1 + ATTEMPTED :: CELLS], finished)),
                before[1] + sum(compress(board[1 + SAMPLES :: CELLS], finished)),
            )
            jobs = [
                replace(job, crashing=job.crashing | crashes)
                for job, done in zip(jobs, finished, strict=True)
                if not done
            ]
        else:
            return


def _add(progress: Progress, before: tuple[int, int], attempted: int, samples: int) -> None:
    progress(before[0] + attempted, before[1] + samples)


def _run(jobs: Sequence[ShardJob], processes: int, board: Board, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _start_worker, (board,)) as pool:
        try:
            with _deaf_to_ctrl_c():
                running = {pool.submit(_write, number, job) for number, job in enumerate(jobs)}
            poll = partial(_poll, board, progress)
            for done in completed(running, poll):
                done.result()
        finally:
            board[0] = 1
            pool.shutdown(cancel_futures=True)


def _poll(board: Board, progress: Progress) -> None:
    progress(sum(board[1 + ATTEMPTED :: CELLS]), sum(board[1 + SAMPLES :: CELLS]))


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started here do not hear Ctrl-C: the parent does, and raises the wish to stop."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set signals, and gets Ctrl-C
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_hand(jobs: Sequence[ShardJob], board: Board) -> list[tuple[ShardJob, Recording]]:
    """Which recordings were being worked on: where one of them makes the decoder crash, it is among these."""
    cells = [board[1 + CELLS * number : 1 + CELLS * (number + 1)] for number in range(len(jobs))]
    return [
        (job, job.shard.tracks[of[IN_HAND] - 1])
        for job, of in zip(jobs, cells, strict=True)
        if of[IN_HAND] and not of[FINISHED]
    ]


def _killed(in_hand: Sequence[str]) -> str:
    place = f" while in hand were {', '.join(in_hand)}" if in_hand else ""
    return (
        f"a worker process was killed{place}: by a lack of memory, or from outside; "
        f"run the same command again to go on from the finished shards, with fewer --jobs if memory is short"
    )


# --- in the worker --------------------------------------------------------------------------------------------


def _start_worker(board: Board) -> None:
    global _board  # noqa: PLW0603 -- shared memory reaches a worker only as it starts
    _board = board
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # C libraries comment on damaged files on descriptor 2 (libmpg123 does); Python's own messages keep their way out.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_death([parent.sentinel])
    os._exit(1)


def _write(number: int, job: ShardJob) -> ShardResult:
    first = 1 + CELLS * number

    def begin(recording: int) -> None:
        _board[first + IN_HAND] = recording + 1

    def report(samples: int) -> None:
        _board[first + ATTEMPTED] += 1
        _board[first + SAMPLES] += samples
        if _board[0]:
            raise StoppedError

    if _board[0]:
        raise StoppedError
    result = write_shard(job, report, begin)
    _board[first + FINISHED] = 1
    return result
