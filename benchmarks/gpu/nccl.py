"""Several processes, a GPU each, learn what one learns from the whole batch; one GPU alone talks over NCCL too."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target, WrongError
from benchmarks.gpu.compare import all_close, apart, at_most, close, equal
from benchmarks.gpu.model import EXACT, NETWORK, size_of
from benchmarks.gpu.nccl_ranks import KINDS, PAIRS, run_rank, whole_step

MOST = 8  # processes


def processes(target: Target) -> int:
    """As many as there are GPUs; on the CPU two, over gloo."""
    return min(MOST, torch.cuda.device_count()) if target.on_gpu else 2


def start(target: Target) -> list[dict[str, Any]]:
    """Start the ranks, and give what each found."""
    from torch.multiprocessing.spawn import spawn

    if not torch.distributed.is_available() or (target.on_gpu and not torch.distributed.is_nccl_available()):
        raise NotCheckedError("this build of torch has no NCCL")
    world = processes(target)
    with TemporaryDirectory(prefix="clmr-gpu-ranks-") as folder:
        spawn(run_rank, (world, folder, target.device.type, size_of(target)), nprocs=world)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(world)]


def gradients(target: Target) -> Figures:
    """An all-reduce, a gather with its backward pass, and DistributedDataParallel's gradients."""
    found = start(target)
    world = len(found)
    sizes: dict[str, Any] = {"processes": world, "backend": "nccl" if target.on_gpu else "gloo"}
    for rank, each in enumerate(found):
        equal(f"rank {rank}: sum over ranks", each["sum"], torch.full((3,), world * (world + 1) / 2))
        equal(f"rank {rank}: gathered rows", each["gathered"], torch.arange(2 * world, dtype=torch.float64))
        # Every rank's loss is the square sum of all rows, so each row's gradient is 2 x, from every rank.
        own = torch.arange(2 * rank, 2 * rank + 2, dtype=torch.float64)
        equal(f"rank {rank}: gradient of gathered rows", each["gathered_gradient"], 2 * world * own)
    for precision, way in KINDS:
        name = f"{precision}, {way}"
        wanted, wanted_loss = whole_step(target.device, "float64", "eager", PAIRS * world, size_of(target))
        loss = torch.stack([each[name]["loss"] for each in found]).mean()
        limit, vector = (EXACT, False) if precision == "float64" else (1e-3, True)
        sizes[f"{name}: loss"] = close(f"{name}: mean loss of the ranks", loss, wanted_loss, limit)
        for rank, each in enumerate(found):
            got = each[name]["gradient"]
            if vector:
                error = at_most(f"{name}: rank {rank}, gradient", apart(got, wanted.gradients()), NETWORK)
            else:
                error = all_close(f"{name}: rank {rank}, gradient", got, wanted.gradients(), limit)
            sizes[f"{name}: gradient"] = max(error, sizes.get(f"{name}: gradient", 0.0))
            if rank and any(
                not torch.equal(got[each_name], found[0][name]["gradient"][each_name]) for each_name in got
            ):
                raise WrongError(f"{name}: ranks 0 and {rank} have different gradients")
    return sizes


CHECKS = (
    Check(
        "all GPUs together",
        "sums, gathers, losses and gradients of all processes are one process's",
        gradients,
    ),
)
