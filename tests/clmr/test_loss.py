"""NT-Xent against equation 1 written as a double loop, and what must hold of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from clmr.errors import ConfigError
from clmr.loss import contrastive_output, nt_xent_loss
from tests.tolerances import FLOAT64


def equation_1(z_i: Tensor, z_j: Tensor, tau: float) -> Tensor:
    """The paper's equation, anchor by anchor and key by key, averaged over all 2N anchors."""
    z = torch.cat([z_i, z_j])
    n = len(z_i)
    losses = []
    for a in range(2 * n):
        positive = (a + n) % (2 * n)
        similarity = [z[a] @ z[k] / (z[a].norm() * z[k].norm()) for k in range(2 * n)]
        below = torch.stack([torch.exp(similarity[k] / tau) for k in range(2 * n) if k != a]).sum()
        losses.append(-torch.log(torch.exp(similarity[positive] / tau) / below))
    return torch.stack(losses).mean()


def projections(pairs: int, size: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Float64 leaves whose rows have very uneven lengths."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, pairs, size, generator=generator, dtype=torch.float64)
    z *= torch.logspace(-2, 2, 2 * pairs, dtype=torch.float64).view(2, pairs, 1)
    z_i, z_j = z.unbind()
    return z_i.clone().requires_grad_(), z_j.clone().requires_grad_()


@pytest.mark.parametrize("pairs", [2, 3, 8])
@pytest.mark.parametrize("tau", [0.05, 0.5, 3.0])
def test_equals_the_double_loop(pairs: int, tau: float) -> None:
    z_i, z_j = projections(pairs)
    loss, expected = nt_xent_loss(z_i, z_j, tau), equation_1(z_i, z_j, tau)
    torch.testing.assert_close(loss, expected, rtol=FLOAT64, atol=FLOAT64)
    for got, wanted in zip(
        torch.autograd.grad(loss, (z_i, z_j)), torch.autograd.grad(expected, (z_i, z_j)), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=FLOAT64)


def test_two_pairs_by_hand() -> None:
    """Views equal, tracks at right angles: one positive of similarity 1, two negatives of 0."""
    z = torch.eye(2, dtype=torch.float64)
    assert nt_xent_loss(z, z, 0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), rel=1e-12)
    # The views of a track opposite: similarity -1.
    assert nt_xent_loss(z, -z, 1.0).item() == pytest.approx(math.log(1 + 2 * math.e), rel=1e-12)


def test_anchor_is_not_its_own_key() -> None:
    """At a huge temperature every key weighs the same: ln of their number, the anchor not counted."""
    assert nt_xent_loss(*projections(5), 1e9).item() == pytest.approx(math.log(9), rel=1e-8)


def test_symmetric_in_the_views() -> None:
    z_i, z_j = projections(4)
    torch.testing.assert_close(nt_xent_loss(z_i, z_j), nt_xent_loss(z_j, z_i), rtol=1e-14, atol=0)


def test_order_of_pairs_does_not_matter() -> None:
    z_i, z_j = projections(7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent_loss(z_i[order], z_j[order]), nt_xent_loss(z_i, z_j), rtol=1e-13, atol=0)


def test_length_of_projections_does_not_matter() -> None:
    z_i, z_j = projections(4)
    torch.testing.assert_close(nt_xent_loss(z_i * 3, z_j / 7), nt_xent_loss(z_i, z_j), rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z_i, z_j = (z.detach().to(dtype).requires_grad_() for z in projections(32))
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent_loss(z_i, z_j, 0.05)
    loss.backward()
    assert loss.dtype == torch.float32
    assert z_i.grad is not None
    assert z_i.grad.dtype == dtype
    expected = nt_xent_loss(z_i.double(), z_j.double(), 0.05)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_float64_stays_float64() -> None:
    assert nt_xent_loss(*projections(2)).dtype == torch.float64


def test_accuracy() -> None:
    z = torch.eye(4)
    assert contrastive_output(z, z).accuracy == 1
    assert contrastive_output(z, z.roll(1, dims=0)).accuracy == 0
    swapped = z[[1, 0, 2, 3]]  # two of four tracks find the other's view
    output = contrastive_output(z, swapped)
    assert output.accuracy == 0.5
    assert not output.accuracy.requires_grad
    torch.testing.assert_close(output.loss, nt_xent_loss(z, swapped))


def test_zero_projection_has_a_finite_gradient() -> None:
    z_i, z_j = torch.zeros(3, 4, requires_grad=True), torch.randn(3, 4)
    nt_xent_loss(z_i, z_j).backward()
    assert z_i.grad is not None
    assert z_i.grad.isfinite().all()


@pytest.mark.parametrize(
    ("i", "j"), [((4, 3), (4, 2)), ((4, 3), (5, 3)), ((4,), (4,)), ((2, 4, 3), (2, 4, 3))], ids=str
)
def test_refuses_shapes(i: tuple[int, ...], j: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"two \[n, D\] tensors"):
        nt_xent_loss(torch.ones(i), torch.ones(j))


@pytest.mark.parametrize("tau", [0.0, -0.5, float("nan"), float("inf")])
def test_refuses_temperatures(tau: float) -> None:
    with pytest.raises(ConfigError, match="temperature must be"):
        nt_xent_loss(torch.eye(2), torch.eye(2), tau)


@pytest.mark.parametrize("pairs", [0, 1])
def test_refuses_a_single_pair(pairs: int) -> None:
    with pytest.raises(ConfigError, match="at least 2 pairs"):
        nt_xent_loss(torch.ones(pairs, 3), torch.ones(pairs, 3))
