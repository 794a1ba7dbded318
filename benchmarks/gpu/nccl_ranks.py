"""One of several processes, started by benchmarks/gpu/nccl.py."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.gpu.steps import BareStep, views_of

PAIRS = 6  # of a rank
PATIENCE = timedelta(seconds=60)
KINDS = (("float64", "eager"), ("float32", "eager"), ("float32", "fused"))


def whole_step(
    device: torch.device, precision: str, way: str, pairs: int, size: dict[str, Any]
) -> tuple[BareStep, Tensor]:
    """One process's step on the whole batch, and its loss."""
    step = BareStep(device, precision, way, **size)
    loss = step.gradient(views_of(pairs, size["sample_rate"]).to(device, step.precision.dtype))
    return step, loss


def run_rank(rank: int, world: int, folder: str, device_type: str, size: dict[str, Any]) -> None:
    """Everything that one process does; leaves ``RANK.pt`` in the folder."""
    torch.set_num_threads(1)
    device = torch.device(device_type, rank) if device_type == "cuda" else torch.device("cpu")
    backend = "gloo"
    if device_type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(
        backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=world, timeout=PATIENCE
    )
    found: dict[str, Any] = _collectives(rank, device)
    for precision, way in KINDS:
        found[f"{precision}, {way}"] = _step(rank, world, device, precision, way, size)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def _collectives(rank: int, device: torch.device) -> dict[str, Tensor]:
    from clmr.collectives import gather_rows

    total = torch.full((3,), rank + 1.0, device=device)
    dist.all_reduce(total)
    rows = torch.arange(2 * rank, 2 * rank + 2, dtype=torch.float64, device=device).requires_grad_()
    gathered = gather_rows(rows)
    gathered.square().sum().backward()
    assert rows.grad is not None
    return {"sum": total.cpu(), "gathered": gathered.detach().cpu(), "gathered_gradient": rows.grad.cpu()}


def _step(
    rank: int, world: int, device: torch.device, precision: str, way: str, size: dict[str, Any]
) -> dict[str, Any]:
    """Loss and gradient of this rank's pairs of the whole batch."""
    from torch.nn.parallel import DistributedDataParallel

    step = BareStep(device, precision, way, **size)
    # Over one process too: it is NCCL that is tried.
    step.project = DistributedDataParallel(step.model, broadcast_buffers=False)
    views = views_of(PAIRS * world, size["sample_rate"])[:, PAIRS * rank : PAIRS * (rank + 1)]
    loss = step.gradient(views.to(device, step.precision.dtype))
    return {"loss": loss.cpu().double(), "gradient": {name: each.cpu() for name, each in step.gradients().items()}}
