"""The few exchanges between ranks; each is a no-op when there is only one process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together; 1 outside torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, in [0, world_size)."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def sum_over_ranks(x: Tensor) -> Tensor:
    """The elementwise sum of ``x`` over all ranks (same shape everywhere); carries no gradient."""
    if world_size() == 1:
        return x
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every rank computed its own loss from these rows, so what rank r's rows receive is the SUM over the ranks of
        # the gradients at those rows. Dropping the other ranks' share gives a right loss value and a wrong gradient.
        total = sum_over_ranks(gradients[0])
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather_rows(x: Tensor) -> Tensor:
    """Stack the rows of all ranks, in rank order; differentiable.

    The backward pass sums the incoming gradient over the ranks and keeps this rank's rows. With each rank's loss a
    mean over its own rows and gradients averaged over ranks (as DistributedDataParallel does), every parameter gets
    exactly the gradient that one process would compute from the whole batch.

    Args:
        x: shape ``[n, ...]``, the same on every rank.

    Returns:
        shape ``[world_size * n, ...]``; ``x`` itself when alone.
    """
    if world_size() == 1:
        return x
    gathered: Tensor = _GatherRows.apply(x)  # type: ignore[no-untyped-call]  # torch.autograd.Function is untyped
    return gathered
