"""Where this process stands: rank, world, device and threads, alone or under torchrun."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from clmr.collectives import rank, sum_over_ranks, world_size
from clmr.errors import ClmrError, ConfigError
from clmr.memory import keep_freed_memory
from train.precision import tf32
from train.ranks.first_failure import described, watched

DEVICES = ("auto", "cpu", "cuda")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """This process among its peers."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True for the one process that writes files and speaks."""
        return self.rank == 0


def mean_over_ranks(*values: Tensor) -> list[float]:
    """Scalars averaged over all ranks, fetched from the device; every rank must call it."""
    fetched: list[float] = (sum_over_ranks(torch.stack(values).double()) / world_size()).tolist()
    return fetched


def from_first(function: Callable[[], Result]) -> Result:
    """Call ``function`` on the first rank only and give every rank its result, or its error.

    What the first rank finds on its disk is what the run goes by; the others need not see the same disk.
    """
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = function()
        except (ClmrError, OSError) as error:
            outcome[1] = error
    if world_size() > 1:
        dist.broadcast_object_list(outcome, src=0, device=torch.device("cpu"))
    if outcome[1] is not None:
        raise outcome[1]
    result: Result = outcome[0]
    return result


def barrier() -> None:
    """Wait until every rank is here."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def placed(device: str = "auto", threads: int | None = None) -> Iterator[Place]:
    """Join the other processes torchrun started, if any, and leave them at the end.

    Where one of them fails, all the others end with its message (first_failure.py). Float32 is float32 inside: torch
    would let convolutions use TF32.

    Args:
        device: ``auto`` takes the GPU of the local rank where there is one.
        threads: CPU threads of torch; default: this process's share of the cores it may use.

    Raises:
        ClmrError: another process failed.
        ConfigError: there is no such device here, or the others were not met.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    keep_freed_memory()
    if processes == 1:
        with tf32(allowed=False):
            yield _place(device, threads)
        return
    # Both backends: gradients travel over nccl where there are GPUs, small agreements always over gloo.
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # It is there before its processes are; torch would try for half an hour to reach one that is gone.
            socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), 60).close()
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    except (
        RuntimeError,
        ValueError,
        OSError,
    ) as error:  # a variable that is missing, a host or a torchrun that is lost
        raise ConfigError(
            f"the {processes} processes of this run did not meet ({described(error)}); start them with torchrun"
        ) from error
    try:
        with watched(), tf32(allowed=False):
            yield _place(device, threads)
    except BaseException:
        if not on_gpu:  # nccl would wait for the collective that broke
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _place(device: str, threads: int | None) -> Place:
    """Device and threads of this process."""
    number, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device not in DEVICES:
        raise ConfigError(f"--device {device}: one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or max(1, cores // local_size))
    if device == "cpu" or not torch.cuda.is_available():
        return Place(number, processes, torch.device("cpu"))
    here = torch.device("cuda", local_rank)
    torch.cuda.set_device(here)
    return Place(number, processes, here)
