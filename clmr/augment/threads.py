"""Rows shared out among the threads of a CPU, so that each works alone.

An effect is some hundred small operations. Left to torch, every one of them is split among all threads, which wait for
each other at its end; where a core has anything else to do, all others spin until it is back. Rows do not depend on
each other, so each thread takes whole rows through everything instead, and they meet once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import torch


def run_alone(pieces: Sequence[Callable[[], None]], threads: int) -> None:
    """Call each piece once, in any order, each with one thread of torch.

    Gradients are off within the pieces, and inference mode is as it is outside.

    Args:
        pieces: what to call.
        threads: how many work at once, this one where it is 1.

    Raises:
        Whatever a piece raises, after all have ended.
    """
    before = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def call(piece: Callable[[], None]) -> None:
        with torch.inference_mode(mode=inference), torch.no_grad():  # both are the thread's own
            piece()

    def call_alone(piece: Callable[[], None]) -> None:
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)
        call(piece)

    # OpenMP keeps the number for the thread that sets it; for MKL, and for threads yet to begin, it is everybody's.
    torch.set_num_threads(1)
    try:
        if threads == 1 or len(pieces) == 1 or not threading.main_thread().is_alive():  # at exit none can be started
            for piece in pieces:
                call(piece)
            return
        pool = _pool(os.getpid(), threads)
        futures = [pool.submit(call_alone, piece) for piece in pieces]
        wait(futures)
    finally:
        torch.set_num_threads(before)
    for future in futures:
        future.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # A forked process has none of the threads, and makes its own.
    return ThreadPoolExecutor(threads, "clmr-augment")
