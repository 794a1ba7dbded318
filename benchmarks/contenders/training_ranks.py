"""The trainer with its loader in several processes of one machine, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.contenders.training import CHECKED, Run, Turn, settings_of
from train.ranks import first_failure


def _join(rank: int, ranks: int, port: int, threads: int, options: dict[str, Any]) -> Run:
    """This process's part of the run, after its first steps."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    # Between turns all ranks are stopped, which is no silence to worry about.
    first_failure.SILENCE = float("inf")
    run = Run(settings_of(**options), "cpu", threads, in_memory=False)
    run.take(CHECKED)
    return run


def _follow(rank: int, ranks: int, port: int, threads: int, steps: int, options: dict[str, Any]) -> None:
    """A rank other than the first: takes a turn whenever that one does."""
    run = _join(rank, ranks, port, threads, options)
    while True:
        dist.broadcast(torch.zeros(1), src=0)
        run.take(steps)


def several(
    shards: str, pairs: int, width: int, augment: str, steps: int, ranks: int, precision: str = "float32"
) -> Turn:
    """The trainer with its loader on as many processes as cores, one thread each; the same global batch."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = {"shards": shards, "pairs": pairs, "width": width, "augment": augment, "precision": precision}
    spawn = multiprocessing.get_context("spawn")
    for rank in range(1, ranks):
        spawn.Process(target=_follow, args=(rank, ranks, port, 1, steps, options), daemon=True).start()
    run = _join(0, ranks, port, 1, options)

    def turn() -> float:
        dist.broadcast(torch.zeros(1), src=0)
        return run.take(steps)

    return turn
