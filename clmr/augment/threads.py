"""Rows shared out among the threads of a CPU, so that each works alone.

An effect is some hundred small operations. Left to torch, every one of them is split among all threads, which wait for
each other at its end; where a core has anything else to do, all others spin until it is back. Rows do not depend on
each other, so each thread takes whole rows through everything instead, and they meet once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import torch


def run_alone(pieces: Sequence[Callable[[], None]]) -> None:
    """Call each piece once, in any order, on as many threads as torch has, with one thread of torch each.

    Gradients are off within the pieces, and inference mode is as it is outside.

    Raises:
        Whatever a piece raises, after all have ended.
    """
    threads = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def call(piece: Callable[[], None]) -> None:
        torch.set_num_threads(1)  # OpenMP keeps it for each thread that begins a parallel region, MKL for all
        with torch.inference_mode(mode=inference), torch.no_grad():  # both are the thread's own
            piece()

    try:
        if threads == 1:
            for piece in pieces:
                call(piece)
            return
        pool = _pool(os.getpid(), threads)
        futures = [pool.submit(call, piece) for piece in pieces]
        wait(futures)
    finally:
        torch.set_num_threads(threads)
    for future in futures:
        future.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # A forked process has none of the threads, and makes its own.
    return ThreadPoolExecutor(threads, "clmr-augment")
