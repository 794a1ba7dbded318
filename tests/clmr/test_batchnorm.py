"""The norm in one process: the path over ranks computes what torch's does, and the running statistics are used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr.batchnorm import GlobalBatchNorm1d, Moments, normalise_over_ranks, over_ranks
from tests.tolerances import FLOAT64


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The input ``[3, 4, 1, 50]`` channels last, weight, bias; leaves."""
    torch.manual_seed(0)
    x = (3 * torch.randn(3, 4, 1, 50) + 5).to(dtype).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_(), torch.randn(4).double().requires_grad_(), torch.randn(4).double().requires_grad_()


def test_explicit_gradient() -> None:
    def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return normalise_over_ranks(x, weight, bias, 1e-5)[0]

    x, weight, bias = inputs(torch.float64)
    assert torch.autograd.gradcheck(normalised, (x, weight, bias))
    expected = F.batch_norm(x, None, None, weight, bias, training=True)
    torch.testing.assert_close(normalised(x, weight, bias), expected, rtol=FLOAT64, atol=FLOAT64)


def test_groups_are_normalised_apart() -> None:
    """By the path over ranks, gradient included; all of them at once, as separate calls would."""

    def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return normalise_over_ranks(x, weight, bias, 1e-5, groups=3)[0]

    x, weight, bias = inputs(torch.float64)
    assert torch.autograd.gradcheck(normalised, (x, weight, bias))
    expected = torch.cat([F.batch_norm(row, None, None, weight, bias, training=True) for row in x.split(1)])
    torch.testing.assert_close(normalised(x, weight, bias), expected, rtol=FLOAT64, atol=FLOAT64)


def test_bfloat16_input() -> None:
    """As under autocast: activations in bfloat16, parameters in float32, statistics in float32."""
    x, weight, bias = inputs(torch.bfloat16)
    weight, bias = weight.detach().float().requires_grad_(), bias.detach().float().requires_grad_()
    y = normalise_over_ranks(x, weight, bias, 1e-5)[0]
    expected = F.batch_norm(x.float(), None, None, weight, bias, training=True)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.02)
    upstream = torch.randn_like(expected).to(torch.bfloat16)
    found = torch.autograd.grad(y, (x, weight, bias), upstream)
    wanted = torch.autograd.grad(expected, (x, weight, bias), upstream.float())
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.float(), b.float(), rtol=0.02, atol=0.02)


def test_module_equals_torchs_with_the_offset_added() -> None:
    ours, theirs = GlobalBatchNorm1d(4).double(), nn.BatchNorm1d(4).double()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    x, weight, bias = inputs(torch.float64)
    offset = torch.arange(4).double()
    for module in (ours, theirs):
        module.load_state_dict({"weight": weight.detach(), "bias": bias.detach()}, strict=False)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        expected = theirs(x.flatten(2) + offset[:, None])
        torch.testing.assert_close(ours(x, offset).flatten(2), expected, rtol=FLOAT64, atol=FLOAT64)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=FLOAT64, atol=FLOAT64)


def test_moments_of_one_process_are_its_own() -> None:
    local = Moments(torch.ones(1, 1), torch.zeros(1, 3), torch.ones(1, 3))
    assert over_ranks(local) is local
