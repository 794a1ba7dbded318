"""Many functions minimised at once come out as each by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.probing.batched_lbfgs import minimise

SCALES = torch.logspace(-1, 1, 6, dtype=torch.float64)
TARGETS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def bowls(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of s_i log cosh(x_i - t_i): convex, its minimum at the target, nearly linear far from it."""
    away = x - TARGETS[:, : x.shape[1]]
    return (SCALES[:, None] * away.cosh().log()).sum(dim=0), SCALES[:, None] * away.tanh()


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_finds_every_minimum(start: float) -> None:
    found = minimise(bowls, torch.full((6, 4), start, dtype=torch.float64), iterations=200, tolerance=1e-9)
    torch.testing.assert_close(found, TARGETS, atol=1e-6, rtol=0)


def test_a_function_does_not_notice_the_others() -> None:
    start = torch.zeros(6, 4, dtype=torch.float64)
    together = minimise(bowls, start, iterations=7, tolerance=0)
    alone = minimise(bowls, start[:, :1], iterations=7, tolerance=0)
    torch.testing.assert_close(together[:, :1], alone, rtol=1e-9, atol=1e-12)


def test_columns_of_one_function() -> None:
    def coupled(x: Tensor) -> tuple[Tensor, Tensor]:
        values, slope = bowls(x)
        total = x.sum()
        return (values.sum() + total**2 / 2)[None], slope + total

    found = minimise(coupled, torch.zeros(6, 4, dtype=torch.float64), iterations=300, tolerance=1e-9, together=True)
    assert coupled(found)[1].abs().max() < 1e-8


def test_done_before_it_begins() -> None:
    calls = []

    def count(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(x)
        return bowls(x)

    assert torch.equal(minimise(count, TARGETS, iterations=50, tolerance=1e-12), TARGETS)
    assert len(calls) == 1
