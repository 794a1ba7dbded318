"""Batch normalisation whose training statistics are those of the whole batch, over all ranks (paper section 2.2).

``nn.SyncBatchNorm`` does this on GPUs only and normalises what it is given; this one also runs on CPU ranks over gloo,
takes uneven batches, and lets the encoder fold the normalisation into a convolution where the statistics are known
beforehand. It can also take a batch as several groups of rows, such as the first and the second views, and normalise
each by itself, as separate calls would. Parameters and buffers are those of ``nn.BatchNorm1d``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr.collectives import gather_rows, sum_over_ranks, world_size

EXCEPT_CHANNELS = (1, 3, 4)  # of [groups, rows, C, 1, T]


class Moments(NamedTuple):
    """Statistics of each of C channels, in each of G groups of rows."""

    n: Tensor
    """Number of values per channel, float64, shape ``[G, 1]``."""

    mean: Tensor
    """float64, shape ``[G, C]``."""

    variance: Tensor
    """Biased variance, float64, shape ``[G, C]``."""


def over_ranks(local: Moments) -> Moments:
    """The moments of all ranks' values together; differentiable."""
    if world_size() == 1:
        return local
    channels = local.mean.shape[1]
    n, mean, variance = gather_rows(torch.cat(local, dim=1)[None]).split([1, channels, channels], dim=2)  # [W, G, ...]
    # Chan, Golub, LeVeque (1979): combine means, not sums of squares, which would cancel.
    #   n = sum n_r,   m = sum n_r m_r / n,   v = sum n_r (v_r + (m_r - m)^2) / n
    total = n.sum(dim=0)
    share = n / total
    mean_of_all = (share * mean).sum(dim=0)
    return Moments(total, mean_of_all, (share * (variance + (mean - mean_of_all) ** 2)).sum(dim=0))


class _NormaliseOverRanks(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` with the moments of all ranks' x ``[G, N, C, 1, T]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)  # of bfloat16 inputs too
        mean = x.mean(EXCEPT_CHANNELS, keepdim=True, dtype=wide)
        variance = (x - mean).square().mean(EXCEPT_CHANNELS)
        groups, rows, _, _, frames = x.shape
        n = torch.full((groups, 1), rows * frames, dtype=torch.float64, device=x.device)
        moments = over_ranks(Moments(n, mean.flatten(1).double(), variance.double()))
        rstd = (moments.variance + eps).rsqrt()
        scale = rstd * weight
        ctx.save_for_backward(x, weight, moments.n, moments.mean, rstd)
        y = torch.addcmul(_channels(bias - moments.mean * scale, wide), x, _channels(scale, wide)).to(x.dtype)
        ctx.mark_non_differentiable(*moments)
        return y, *moments

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        g = gradients[0]
        x, weight, n, mean, rstd = ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        # With h = (x - mean) rstd:  dL/dbias = sum g,  dL/dweight = sum g h, over this rank's values;
        # dL/dx = weight rstd (g - E[g] - h E[g h]), E over all ranks' values of the same group.
        sum_g = g.sum(EXCEPT_CHANNELS, dtype=wide).double()
        sum_gh = (g * ((x - _channels(mean, wide)) * _channels(rstd, wide))).sum(EXCEPT_CHANNELS).double()
        mean_g, mean_gh = sum_over_ranks(torch.stack([sum_g, sum_gh])) / n
        scale = weight * rstd
        slope = -scale * rstd * mean_gh
        dx = torch.addcmul(_channels(-scale * mean_g - slope * mean, wide), x, _channels(slope, wide))
        dx = dx.addcmul_(g, _channels(scale, wide)).to(x.dtype)
        return dx, sum_gh.sum(dim=0).to(weight.dtype), sum_g.sum(dim=0).to(weight.dtype), None


def normalise_over_ranks(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, groups: int = 1
) -> tuple[Tensor, Moments]:
    """Batch normalisation of ``[G * N, C, 1, T]`` with the moments of all ranks, one exchange for all groups."""
    parts = x.unflatten(0, (groups, -1))
    y, *moments = _NormaliseOverRanks.apply(parts, weight, bias, eps)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return y.flatten(0, 1), Moments(*moments)


def _channels(values: Tensor, dtype: torch.dtype) -> Tensor:
    """``[..., C]`` -> ``[..., 1, C, 1, 1]``."""
    return values.to(dtype)[..., None, :, None, None]


class GlobalBatchNorm1d(nn.Module):
    """Normalises ``[N, C, 1, T]`` with the moments of all ranks' values in training, the running ones otherwise.

    The running variance is the unbiased one of the global count, so that all ranks hold the same buffers. N may differ
    between ranks. Gradients averaged over ranks equal those of one process with the whole batch.

    Args:
        channels: C, >= 1.
    """

    eps = 1e-5
    momentum = 0.1

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, offset: Tensor, groups: int = 1) -> Tensor:
        """Normalise ``x + offset``.

        Args:
            x: shape ``[N, C, 1, T]``, channels last in memory.
            offset: the bias of the convolution that made x without it, shape ``[C]``. In training it cancels against
                the mean, so it is not added to x, and its gradient is exactly zero.
            groups: parts of equal size, one after the other in N, that training normalises each by itself. The running
                statistics move once for each in that order, as in as many calls.
        """
        if not self.training:
            scale, shift = self.fold()
            return x * _channels(scale, x.dtype) + _channels(shift + scale * offset, x.dtype)
        bias = self.bias + 0 * offset  # keeps the offset in the graph: DistributedDataParallel waits for its gradient
        if world_size() > 1:
            y, moments = normalise_over_ranks(x, self.weight, bias, self.eps, groups)
            self.track(moments._replace(mean=moments.mean + offset.detach()))
            return y
        if groups > 1:
            return torch.cat([self(part, offset) for part in x.chunk(groups)])
        mean = self.running_mean - offset.detach()
        y = F.batch_norm(x, mean, self.running_var, self.weight, bias, True, self.momentum, self.eps)
        self.running_mean.copy_(mean + offset.detach())
        self.num_batches_tracked.add_(1)
        return y

    def fold(self, moments: Moments | None = None) -> tuple[Tensor, Tensor]:
        """The normalisation as ``scale * x + shift``, given x's moments or the running ones.

        Returns:
            Both in float64, ``[G, C]`` by the moments and ``[C]`` by the running statistics.
        """
        mean, variance = (self.running_mean, self.running_var) if moments is None else moments[1:]
        scale = self.weight * (variance.double() + self.eps).rsqrt()
        return scale, self.bias - mean * scale

    @torch.no_grad()
    def track(self, moments: Moments) -> None:
        """Move the running statistics towards a batch's, group after group."""
        unbiased = moments.variance * (moments.n / (moments.n - 1))
        for mean, variance in zip(moments.mean, unbiased, strict=True):
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked.add_(len(unbiased))
