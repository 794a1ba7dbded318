"""What each rank of the distributed tests does; the process that compares the outcomes does the same alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clmr import ContrastiveModel, Projector, SampleCNN, contrastive_output
from clmr.batchnorm import GlobalBatchNorm1d, Moments
from clmr.collectives import _GatherRows, gather_rows, rank, world_size
from clmr.encoder import Stem

Outcome = dict[str, Any]

WORLDS = (4, 2, 1)
WAYS = ("view", "view in one pass", "both", "loss in blocks")  # of training; see train
BROKEN = ("own slice", "detached", "not gathered", "interleaved", "local statistics", "norm's own gradient")


class OnePass(ContrastiveModel):
    """Both views in one pass with statistics of each, which the model does on a GPU only."""

    def forward(self, views: Tensor) -> Tensor:
        z: Tensor = self.projector(self.encoder(views.flatten(0, 1), groups=2)).unflatten(0, views.shape[:2])
        return z


def parity_model(way: str = "view") -> nn.Module:
    torch.manual_seed(0)
    kind = OnePass if way == "view in one pass" else ContrastiveModel
    statistics = "both" if way == "both" else "view"
    return kind(SampleCNN(8000, width=16), Projector(16, out=8), statistics).double()


@contextmanager
def small_blocks() -> Iterator[None]:
    """Computes the loss in blocks of three rows or so, the last one smaller."""
    with patch("clmr.loss.WHOLE", 0), patch("clmr.loss.BLOCK", 50):
        yield


def train(pairs: int, steps: int, way: str = "view") -> Outcome:
    """Some SGD steps of the whole model on this rank's share of ``pairs`` pairs of uneven, asymmetric crops."""
    model = parity_model(way)
    if dist.is_initialized():
        model = DistributedDataParallel(model, broadcast_buffers=False)
    # Gradients are near 10 here; with larger steps the network multiplies rounding errors by 10 to 100 in each.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    share = pairs // world_size()
    mine = slice(rank() * share, (rank() + 1) * share)
    generator = torch.Generator().manual_seed(1)
    losses, first_gradient = [], None
    for _ in range(steps):
        views = torch.randn(2, pairs, 1, 20736, generator=generator, dtype=torch.float64)
        views *= torch.logspace(-2, 0, pairs, dtype=torch.float64)[:, None, None]  # later ranks are louder
        views[1] = 0.5 * views[0] + 0.3 * views[1] ** 2  # and the second view is another kind of signal
        optimizer.zero_grad()
        z_i, z_j = model(views[:, mine])
        with small_blocks() if way == "loss in blocks" else nullcontext():
            loss = contrastive_output(z_i, z_j, temperature=0.2).loss
        loss.backward()
        first_gradient = first_gradient or [p.grad.clone() for p in model.parameters() if p.grad is not None]
        optimizer.step()
        losses.append(loss.item())
    return {
        "losses": losses,
        "gradient": first_gradient,
        "weights": [p.detach() for p in model.parameters()],
        "buffers": list(model.buffers()),
    }


@contextmanager
def broken_gather(how: str) -> Iterator[None]:
    """Replace the exchange of keys in the loss, or of the norm's moments, by a mistake seen in the wild."""

    def own_slice(ctx: Any, *gradients: Tensor) -> Tensor:
        """The backward pass forgets the other ranks' share."""
        return gradients[0][rank() * ctx.rows : (rank() + 1) * ctx.rows]

    def detached(x: Tensor) -> Tensor:
        """Other ranks' rows and one's own come without gradient."""
        return gather_rows(x).detach()

    def not_gathered(x: Tensor) -> Tensor:
        """Every rank has only its own negatives; other ranks' rows are pushed out of reach."""
        rows = [torch.zeros_like(x)] * world_size()
        rows[rank()] = x
        return torch.cat(rows)

    def interleaved(x: Tensor) -> Tensor:
        """All ranks' first views, then all ranks' second views, where each rank's 2n rows should be together."""
        return gather_rows(x).view(world_size(), 2, -1, x.shape[1]).transpose(0, 1).flatten(0, 2)

    def local(moments: Moments) -> Moments:
        """Every rank normalises by its own values."""
        return moments

    def own_sum(x: Tensor) -> Tensor:
        """The norm's backward pass takes its means over the rank's own values."""
        return x * world_size()

    if how == "own slice":
        with patch.object(_GatherRows, "backward", staticmethod(own_slice)):
            yield
    elif how == "local statistics":
        with patch("clmr.batchnorm.over_ranks", local), patch("clmr.encoder.over_ranks", local):
            yield
    elif how == "norm's own gradient":
        with patch("clmr.batchnorm.sum_over_ranks", own_sum):
            yield
    else:
        gathers = {"detached": detached, "not gathered": not_gathered, "interleaved": interleaved}
        with patch("clmr.loss.gather_rows", gathers[how]):
            yield


UNEVEN = (1, 4, 2, 3)  # rows of the ranks


def uneven(layer: str, dtype: torch.dtype, offset: float) -> Outcome:
    """One layer on a batch that the ranks hold unequal parts of; the loss is a sum over all values."""
    torch.manual_seed(2)
    start = sum(UNEVEN[: rank()])
    mine = slice(start, start + UNEVEN[rank()])
    generator = torch.Generator().manual_seed(3)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    if layer == "norm":
        module: nn.Module = GlobalBatchNorm1d(5)
        everything, weight = numbers(sum(UNEVEN), 5, 1, 6), numbers(sum(UNEVEN), 5, 1, 6)
    else:
        module = Stem(5)
        everything, weight = numbers(sum(UNEVEN), 1, 18), numbers(sum(UNEVEN), 5, 1, 6)
    everything = everything * torch.arange(1, 1 + sum(UNEVEN))[:, None, None].view(-1, *[1] * (everything.ndim - 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
    module.to(dtype)
    x = (everything[mine] + offset).to(dtype).requires_grad_()
    y = module(x, torch.ones(5, dtype=dtype)) if layer == "norm" else module(x)
    (y * weight[mine].to(dtype)).sum().backward()
    return {
        "y": y.detach(),
        "dx": x.grad,
        "gradient": [p.grad for p in module.parameters()],
        "buffers": list(module.buffers()),
        "state": module.state_dict(),
        "x": x.detach(),
        "weight": weight,
    }


def everything(pairs: int) -> dict[str, Outcome]:
    """All that the tests look at."""
    outcomes = {
        **{way: train(pairs, steps=3, way=way) for way in WAYS},
        "norm": uneven("norm", torch.float64, offset=0.0),
        "norm, float32, far from zero": uneven("norm", torch.float32, offset=1000.0),
        "stem": uneven("stem", torch.float64, offset=0.3),
    }
    if world_size() > 1:
        for how in BROKEN:
            with broken_gather(how):
                outcomes[how] = train(pairs, steps=1)
    return outcomes


def run_rank(number: int, pairs: int, folder: str) -> None:
    """Entry of a rank's process: it takes part in every world that is large enough, one after the other."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    for world in WORLDS:
        if number >= world:
            continue
        dist.init_process_group("gloo", init_method=f"file://{folder}/world{world}", rank=number, world_size=world)
        try:
            torch.save(everything(pairs), Path(folder) / f"{world}-{number}.pt")
        finally:
            dist.destroy_process_group()
