"""The fused training pass by its kernels, interpreted, against autograd's own in float64."""

from __future__ import annotations

from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.fused import Convolution, features
from tests.tolerances import FLOAT32_NETWORK

GROUPS, ROWS = 2, 6
POOLS = (3, 2, 1)


def parameters() -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """The stem's filters, and three layers of weight, bias, gamma and beta; leaves, float64."""
    torch.manual_seed(0)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64).requires_grad_()

    layers: list[tuple[Tensor, ...]] = []
    for channels_in, channels_out, kernel in ((4, 6, 3), (6, 6, 2), (6, 8, 3)):
        layers.append((leaf(channels_out, channels_in, kernel), *(leaf(channels_out) for _ in range(3))))
    return leaf(GROUPS, 4, 4), layers


def plainly(audio: Tensor, folded: Tensor, layers: list[tuple[Tensor, ...]]) -> Tensor:
    """Group by group, with the layers of torch."""
    found = []
    for part, stem in zip(audio.chunk(GROUPS), folded, strict=True):
        x = torch.relu(F.conv1d(part, stem[:, None, :3], stem[:, 3], stride=3))
        for (weight, bias, gamma, beta), pool in zip(layers, POOLS, strict=True):
            y = F.batch_norm(F.conv1d(x, weight, bias, padding=1), None, None, gamma, beta, training=True)
            x = F.max_pool1d(torch.relu(y), pool)
        found.append(x.flatten(1))
    return torch.cat(found)


def test_equals_the_plain_pass() -> None:
    """In parts of 4 rows and 2, of which the first has rows of both groups, then in one part."""
    folded, layers = parameters()
    audio = torch.randn(ROWS, 1, 36, dtype=torch.float64)
    everything = [folded, *(parameter for layer in layers for parameter in layer)]
    expected = plainly(audio, folded, layers)
    upstream = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, everything, upstream)
    convolutions = [
        Convolution(weight.float(), bias.float(), gamma.float(), beta.float(), 1e-5, pool)
        for (weight, bias, gamma, beta), pool in zip(layers, POOLS, strict=True)
    ]
    for size in (4 * 72, 2**30):
        with patch("clmr.layerwise.PART_ON_CPU", size), patch("clmr.pooling._in_kernels", return_value=True) as asked:
            found, moments = features(audio.float(), folded, convolutions, GROUPS, torch.float32)
            gradients = torch.autograd.grad(found, everything, upstream.float())
        assert asked.call_count > 10
        assert [tuple(layer.mean.shape) for layer in moments] == [(2, 6), (2, 6), (2, 8)]
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
        largest = max(part.abs().max().item() for part in wanted)
        for got, exact in zip(gradients, wanted, strict=True):
            assert (got - exact).abs().max() <= FLOAT32_NETWORK * max(exact.abs().max().item(), 1e-2 * largest)
