"""Ranks that fail in every way, without the time it takes to start them one by one: ``forked_ranks.py FOLDER SHARDS``.

One process that has imported torch forks the ranks of each scenario; what rank 1 of ``raised`` prints is in
``FOLDER/raised-1.txt``, and the exit statuses of its ranks are the line ``raised 1 1 1`` of the output.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from clmr.collectives import sum_over_ranks
from clmr.errors import ConfigError, ResumeError, one_line_errors
from tests.servers.s3 import free_ports
from train.ranks import first_failure
from train.ranks.launch import Place, from_first, placed
from train.settings import PretrainSettings
from train.trainer import open_pairs

RANKS = 3
CPU = torch.device("cpu")


def killed(number: int) -> Callable[[int], None]:
    """A rank that dies without a word."""

    def work(rank: int) -> None:
        for step in range(1000):
            if (rank, step) == (number, 3):
                os.kill(os.getpid(), signal.SIGKILL)
            sum_over_ranks(torch.zeros(3))

    return work


def raised(rank: int) -> None:
    """A rank that fails between two collectives."""
    for step in range(1000):
        if (rank, step) == (1, 3):
            raise ConfigError("this is wrong\nin two lines")
        sum_over_ranks(torch.zeros(3))


def unexpected(rank: int) -> None:
    """A defect, with a secret in its message."""
    for step in range(1000):
        if (rank, step) == (2, 3):
            raise ValueError(f"refused {os.environ['AWS_SECRET_ACCESS_KEY']}")
        sum_over_ranks(torch.zeros(3))


def stuck(rank: int) -> None:
    """The others wait in a collective that notices nothing, as one of nccl."""
    if rank == 2:
        raise ConfigError("before the others noticed")
    first_failure.GRACE = 0.5
    time.sleep(1000)


def silent(rank: int) -> None:
    """A rank whose machine is gone: its connections stand, and nothing comes."""
    first_failure.SILENCE, first_failure.GRACE = 3.0, 0.5
    if rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1000)


def lingering(rank: int) -> None:
    """The first rank waits for its last upload when the others are done."""
    first_failure.SILENCE, first_failure.GRACE = 3.0, 0.5
    if rank == 0:
        time.sleep(4)


def first(rank: int) -> None:
    """The first rank finds something wrong on its disk."""

    def look() -> None:
        raise ResumeError("no such run")

    from_first(look)


def well(rank: int) -> None:
    """Nothing is wrong."""
    sum_over_ranks(torch.zeros(3))


def without_shards(rank: int) -> None:
    """One rank does not find the shards."""
    where = f"{sys.argv[1]}/nowhere" if rank == 1 else sys.argv[2]
    open_pairs(
        PretrainSettings(shards=(where,), batch_size=6, steps=1), Place(rank, RANKS, CPU), None, sample_rate=None
    )
    sum_over_ranks(torch.zeros(3))


def uneven(rank: int) -> None:
    """Pretraining on 8 pairs for 3 ranks."""
    settings = PretrainSettings(shards=(sys.argv[2],), batch_size=8, steps=1)
    open_pairs(settings, Place(rank, RANKS, CPU), None, sample_rate=None)


SCENARIOS: dict[str, Callable[[int], None]] = {
    **{f"killed-{number}": killed(number) for number in range(RANKS)},
    **{
        each.__name__: each
        for each in (raised, unexpected, stuck, silent, first, without_shards, uneven, well, lingering)
    },
}


def start(work: Callable[[int], None], rank: int, port: int, output: Path) -> int:
    """Fork one rank."""
    process = os.fork()
    if process:
        return process
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(
        {"RANK": str(rank), "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    )
    status = 1
    try:
        with one_line_errors(), placed("cpu", 1):
            work(rank)
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException as error:
        print(f"{type(error).__name__} escaped", flush=True)
    os._exit(status)


def main(folder: Path) -> None:
    """Run all scenarios at once."""
    running = {}
    for (name, work), port in zip(SCENARIOS.items(), free_ports(len(SCENARIOS)), strict=True):
        running[name] = [start(work, rank, port, folder / f"{name}-{rank}.txt") for rank in range(RANKS)]
    for name, processes in running.items():
        if name == "silent":
            statuses = [os.waitpid(processes[rank], 0)[1] for rank in (0, 2)]
            os.kill(processes[1], signal.SIGKILL)
            statuses.insert(1, os.waitpid(processes[1], 0)[1])
        else:
            statuses = [os.waitpid(process, 0)[1] for process in processes]
        print(name, *(os.waitstatus_to_exitcode(status) for status in statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
