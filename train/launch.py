"""Where this process stands: rank, world, device and threads, alone or under torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from clmr.errors import ConfigError
from clmr.memory import keep_freed_memory

DEVICES = ("auto", "cpu", "cuda")


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
    shared = torch.stack([value.detach().double() for value in values])
    if dist.is_initialized():
        dist.all_reduce(shared)
        shared /= dist.get_world_size()
    fetched: list[float] = shared.tolist()
    return fetched


@contextmanager
def placed(device: str = "auto", threads: int | None = None) -> Iterator[Place]:
    """Join the other processes torchrun started, if any, and leave them at the end.

    Args:
        device: ``auto`` takes the GPU of the local rank where there is one.
        threads: CPU threads of torch; default: this process's share of the cores it may use.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device not in DEVICES:
        raise ConfigError(f"--device {device}: one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    keep_freed_memory()
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // local_size))
    on_gpu = device != "cpu" and torch.cuda.is_available()
    here = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(here)
    if world_size == 1:
        yield Place(rank, world_size, here)
        return
    # Both backends: gradients travel over nccl where there are GPUs, small agreements always over gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield Place(rank, world_size, here)
    finally:
        dist.destroy_process_group()
