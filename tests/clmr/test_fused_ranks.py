"""The fused training pass over real processes learns what the plain one learns in one process from the whole batch."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from clmr import ContrastiveModel
from clmr.batchnorm import Moments
from tests.clmr.ranks import Outcome, parity_model
from tests.tolerances import FLOAT64

RANKS, PAIRS = 2, 4
WAYS = ("view", "view in one pass")


def own(values: Tensor) -> Tensor:
    """A mistake: the backward pass takes its means over the rank's own values."""
    return RANKS * values


def local(moments: Moments) -> Moments:
    """Another: every rank normalises by its own values."""
    return moments


MISTAKES = {"own sums": ("clmr.layerwise.sum_over_ranks", own), "own moments": ("clmr.layerwise.over_ranks", local)}


def train(way: str, fused: bool, rank: int = 0, ranks: int = 1) -> Outcome:
    """One SGD step on this rank's share of the pairs, of which later ones are louder."""
    model = parity_model(way)
    assert isinstance(model, ContrastiveModel)
    model.encoder.fused = fused
    wrapped = DistributedDataParallel(model, broadcast_buffers=False) if ranks > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, PAIRS, 1, 20736, generator=generator, dtype=torch.float64)
    views *= torch.logspace(-2, 0, PAIRS, dtype=torch.float64)[:, None, None]
    weight = torch.randn(2, PAIRS, 8, generator=generator, dtype=torch.float64)
    share = slice(rank * PAIRS // ranks, (rank + 1) * PAIRS // ranks)
    (wrapped(views[:, share]) * weight[:, share]).sum().mul(ranks).backward()
    optimizer.step()
    gradient = [parameter.grad for parameter in model.parameters()]
    return {"gradient": gradient, "state": list(model.state_dict().values())}


def run_rank(rank: int, folder: str) -> None:
    """Entry of a rank's process."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/world", rank=rank, world_size=RANKS)
    try:
        found = {way: train(way, fused=True, rank=rank, ranks=RANKS) for way in WAYS}
        for name, mistake in MISTAKES.items():
            with patch(*mistake):
                found[name] = train("view", fused=True, rank=rank, ranks=RANKS)
        torch.save(found, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("fused")
    spawn(run_rank, (str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> Outcome:
    return train("view", fused=False)


def assert_same(got: Outcome, expected: Outcome) -> None:
    for name in ("gradient", "state"):
        largest = max(tensor.abs().max().item() for tensor in expected[name])
        for a, b in zip(got[name], expected[name], strict=True):
            assert (a - b).abs().max() <= FLOAT64 * max(b.abs().max().item(), 1e-3 * largest)


@pytest.mark.parametrize("way", WAYS)
def test_same_training_as_the_plain_pass_alone(ranks: list[dict[str, Outcome]], alone: Outcome, way: str) -> None:
    """Gradients, weights and running statistics."""
    for rank in ranks:
        assert_same(rank[way], alone)
    for mine, theirs in zip(ranks[0][way]["state"], ranks[1][way]["state"], strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(ranks: list[dict[str, Outcome]], alone: Outcome, mistake: str) -> None:
    with pytest.raises(AssertionError):
        assert_same(ranks[0][mistake], alone)
