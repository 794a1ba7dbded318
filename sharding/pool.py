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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_int64
from multiprocessing.connection import wait as wait_for_death
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from clmr.errors import ClmrError
from sharding.plan import BuildSettings, PlannedShard
from sharding.write import write_shard

POLL_SECONDS = 0.2
Board = Any
"""Shared int64 cells, all 0 at first: [stop, then for each shard: started, recordings attempted, samples written]."""
_board: Board = None


class StoppedError(Exception):
    """A worker leaves its shard, because the build is ending; only the parent sees it, and passes it over."""


def write_shards(
    root: Path,
    shards: Sequence[PlannedShard],
    settings: BuildSettings,
    receipt: Mapping[str, Any],
    jobs: int,
    report: Callable[[int, int], None],
) -> None:
    """Write shards, ``jobs`` at a time.

    Args:
        root: folder of the shards.
        shards: what to write.
        settings: of the build.
        receipt: the settings as the receipts are to hold them.
        jobs: processes.
        report: hears, a few times a second, how many recordings were attempted and samples written so far.

    Raises:
        ClmrError: a worker was killed. Every finished shard stays, and no other file.
    """
    board = RawArray(c_int64, 1 + 3 * len(shards))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(shards)), context, _start_worker, (board,)) as pool:
        try:
            with _deaf_to_ctrl_c():
                running = {
                    pool.submit(_write, number, root, shard, settings, receipt) for number, shard in enumerate(shards)
                }
            for done in _completed(running, lambda: report(sum(board[2::3]), sum(board[3::3]))):
                done.result()
        except BrokenProcessPool as error:
            raise ClmrError(_killed(shards, board)) from error
        finally:
            board[0] = 1
            pool.shutdown(cancel_futures=True)


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


def _completed(waiting: set[Future[None]], poll: Callable[[], None]) -> Iterator[Future[None]]:
    while waiting:
        done, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
        poll()
        yield from done


def _killed(shards: Sequence[PlannedShard], board: Board) -> str:
    """Which recordings were in hand: where one of them makes the decoder crash, it is among these."""
    in_hand = [
        shard.tracks[board[2 + 3 * number]].source
        for number, shard in enumerate(shards)
        if board[1 + 3 * number] and board[2 + 3 * number] < len(shard.tracks)
    ]
    place = f" while in hand were {', '.join(in_hand)}" if in_hand else ""
    return (
        f"a worker process was killed{place}: by a lack of memory, a crash of the decoder, or from outside; "
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


def _write(number: int, root: Path, shard: PlannedShard, settings: BuildSettings, receipt: Mapping[str, Any]) -> None:
    started, attempted, written = (1 + 3 * number + cell for cell in range(3))

    def report(samples: int) -> None:
        _board[attempted] += 1
        _board[written] += samples
        if _board[0]:
            raise StoppedError

    if _board[0]:
        raise StoppedError
    _board[started] = 1
    write_shard(root, shard, settings, receipt, report)
