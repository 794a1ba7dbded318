"""A compiled model trains as the plain one does, under the same names.

With the backend ``aot_eager``, which traces both passes as ``inductor`` does and leaves out the kernels that inductor
would take minutes to build.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from tests.clmr.ranks import parity_model
from tests.tolerances import FLOAT64
from tests.train.launching import flat
from tests.train.test_trainer import HERE, settings
from train.ceilings import measure_consumer
from train.compiling import compiled
from train.trainer import Trainer

RANKS, PAIRS = 2, 4


def test_compiled_training_is_the_same(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.trainer.compiled", partial(compiled, backend="aot_eager"))
    counters.clear()
    ends = []
    for compile_it in (False, True):
        chosen = settings(shards, augment="crop", steps=100, schedule="cosine", compile=compile_it)
        trainer = Trainer(chosen, HERE)
        with trainer.loader:
            if compile_it:
                measure_consumer(trainer, 50)  # its steps are those of a copy
            batches = iter(trainer.loader)
            losses = [trainer.step(next(batches))["loss"] for _ in range(3)]
        # A trainer made from the state goes on with the same names.
        again = Trainer(chosen, HERE, {**trainer.state(), "step": trainer.step_count})
        again.loader.close()
        assert flat(again.state()["model"]).keys() == flat(trainer.state()["model"]).keys()
        ends.append({"losses": torch.stack(losses), **flat(trainer.state()["model"])})
    plain, ours = ends
    assert list(ours) == list(plain)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert counters["stats"]["unique_graphs"] == 1, "compiled anew for a step or for the copy"
    assert not counters["graph_break"]


def one_step(project: Callable[[Tensor], Tensor], model: nn.Module, rank: int, ranks: int) -> list[Tensor]:
    """Gradients and running statistics of this rank's share of the pairs, of which later ones are louder."""
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, PAIRS, 1, 20736, generator=generator, dtype=torch.float64)
    views *= torch.logspace(-2, 0, PAIRS, dtype=torch.float64)[:, None, None]
    share = slice(rank * PAIRS // ranks, (rank + 1) * PAIRS // ranks)
    (project(views[:, share]) ** 3).sum().mul(ranks).backward()
    return [*(weights.grad for weights in model.parameters() if weights.grad is not None), *model.buffers()]


def run_rank(rank: int, folder: str) -> None:
    """Entry of a rank's process."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/world", rank=rank, world_size=RANKS)
    try:
        model = parity_model()
        ranked = DistributedDataParallel(model, broadcast_buffers=False)
        torch.save(one_step(compiled(ranked, "aot_eager"), model, rank, RANKS), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_compile_to_the_gradients_of_one(tmp_path: Path) -> None:
    """Left to itself, torch.compile gives the convolutions none, and says nothing."""
    spawn(run_rank, (str(tmp_path),), nprocs=RANKS)
    alone = parity_model()
    expected = one_step(alone, alone, 0, 1)
    for rank in range(RANKS):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert len(found) == len(expected)
        largest = max(tensor.abs().max().item() for tensor in expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).abs().max() <= FLOAT64 * max(theirs.abs().max().item(), 1e-3 * largest)
