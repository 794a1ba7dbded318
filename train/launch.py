"""Where this process stands: rank, world, device and threads, alone or under torchrun."""

from __future__ import annotations

import os
import re
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

DEVICES = ("auto", "cpu", "cuda")

PEER_GONE = r"Connection (closed|reset) by peer|Broken pipe|Connection refused"
"""What torch says on the ranks that wait for one that has ended."""

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

    Args:
        device: ``auto`` takes the GPU of the local rank where there is one.
        threads: CPU threads of torch; default: this process's share of the cores it may use.
    """
    number, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device not in DEVICES:
        raise ConfigError(f"--device {device}: one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    keep_freed_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or max(1, cores // local_size))
    on_gpu = device != "cpu" and torch.cuda.is_available()
    here = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(here)
    if processes == 1:
        yield Place(number, processes, here)
        return
    # Both backends: gradients travel over nccl where there are GPUs, small agreements always over gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield Place(number, processes, here)
    except RuntimeError as error:
        if re.search(PEER_GONE, str(error)):
            raise ConfigError("another process of this run ended; its own message says why") from error
        raise
    finally:
        dist.destroy_process_group()
