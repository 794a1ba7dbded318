"""Alignment and uniformity against their definitions, in blocks and over real ranks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from clmr.errors import ConfigError
from clmr.geometry import alignment, uniformity
from tests.tolerances import FLOAT64


def projections(pairs: int, size: int = 6) -> tuple[Tensor, Tensor]:
    """Rows of very uneven lengths; the second view resembles the first."""
    z = torch.randn(2, pairs, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z[1] += 2 * z[0]
    z *= torch.logspace(-2, 2, 2 * pairs, dtype=torch.float64).view(2, pairs, 1)
    return z[0], z[1]


def double_loop(z_i: Tensor, z_j: Tensor) -> tuple[float, float]:
    """Both by their definition, pair by pair."""
    n = len(z_i)
    z = [row / row.norm() for row in torch.cat([z_i, z_j])]
    together = [float(((z[a] - z[a + n]) ** 2).sum()) for a in range(n)]
    apart = [math.exp(-2 * float(((z[a] - z[b]) ** 2).sum())) for a in range(2 * n) for b in range(2 * n) if a != b]
    return sum(together) / n, math.log(sum(apart) / len(apart))


@pytest.mark.parametrize("block", [1, 50, 2**24])
@pytest.mark.parametrize("pairs", [1, 2, 7])
def test_equals_the_double_loop(pairs: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clmr.geometry.BLOCK", block)
    z_i, z_j = projections(pairs)
    expected = double_loop(z_i, z_j)
    assert alignment(z_i, z_j).item() == pytest.approx(expected[0], rel=FLOAT64)
    assert uniformity(z_i, z_j).item() == pytest.approx(expected[1], rel=FLOAT64)


def test_collapse_spread_and_opposites_by_hand() -> None:
    same, axes = torch.ones(8, 4), torch.eye(8)
    assert alignment(same, same) == 0
    assert uniformity(same, same).item() == pytest.approx(0, abs=1e-6)
    assert uniformity(axes[:4], axes[4:]).item() == pytest.approx(-4)  # all at right angles: ||u - v||^2 = 2
    assert alignment(axes[:4], axes[4:]).item() == pytest.approx(2)
    assert alignment(axes, -axes).item() == pytest.approx(4)
    assert uniformity(axes[:1], -axes[:1]).item() == pytest.approx(-8)


def test_dead_projections_are_a_collapse() -> None:
    dead = torch.zeros(4, 3)
    assert uniformity(dead, dead) == 0
    assert alignment(dead, dead) == 0


def test_half_precision_is_computed_in_float32_and_without_gradient() -> None:
    z_i, z_j = (z.bfloat16().requires_grad_() for z in projections(16))
    with torch.autocast("cpu", torch.bfloat16):
        measured = alignment(z_i, z_j), uniformity(z_i, z_j)
    for value, expected in zip(measured, double_loop(z_i.detach().double(), z_j.detach().double()), strict=True):
        assert value.dtype == torch.float32
        assert not value.requires_grad
        assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("i", "j"), [((4, 3), (5, 3)), ((4,), (4,)), ((0, 3), (0, 3))], ids=str)
def test_refuses_shapes(i: tuple[int, ...], j: tuple[int, ...]) -> None:
    for measure in (alignment, uniformity):
        with pytest.raises(ConfigError, match=r"two \[n, D\] tensors"):
            measure(torch.ones(i), torch.ones(j))


def measure_share(rank: int, folder: str) -> None:
    """What one of two processes finds of its half of the pairs."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        share = slice(4 * rank, 4 * rank + 4)
        z_i, z_j = (z[share] for z in projections(8))
        torch.save(torch.stack([alignment(z_i, z_j), uniformity(z_i, z_j)]), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    spawn(measure_share, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    expected = double_loop(*projections(8))
    assert (first[0] + second[0]).item() / 2 == pytest.approx(expected[0], rel=FLOAT64)
    assert first[1] == second[1]
    assert first[1].item() == pytest.approx(expected[1], rel=FLOAT64)
