"""Batch normalisation, max-pooling and ReLU as one step of a batch's part, forward and backward.

    c = y - mean        h = scale c + beta        x = relu(max over a window of h)

with the ``affine`` numbers mean, scale = gamma rstd, and beta of every channel in every group of rows. Sums and
products are float32, or float64 of float64. These are the plain PyTorch forms; on a GPU the kernels of
``clmr.kernels.pooling`` take their place, and read y once each.

Scale may be negative, so it is h that is compared, not y. Of equal largest values the first counts, as in
``torch.nn.functional.max_pool2d``, and at h = 0 the ReLU passes no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.augment.kernels.launch import use_kernels


@dataclass(frozen=True)
class Part:
    """Some consecutive rows of a convolution's output."""

    y: Tensor
    """Shape ``[n, C, 1, T]``, channels last in memory."""

    first: int
    """Their place in the batch."""

    rows_per_group: int
    """Rows of the batch that share their statistics."""

    def groups(self) -> Iterator[tuple[int, slice]]:
        """The groups that have rows here, each with those rows."""
        last = self.first + len(self.y)
        for group in range(self.first // self.rows_per_group, -(-last // self.rows_per_group)):
            start, end = group * self.rows_per_group, (group + 1) * self.rows_per_group
            yield group, slice(max(start, self.first) - self.first, min(end, last) - self.first)


def wide(y: Tensor) -> torch.dtype:
    """What is computed in: float32 of bfloat16 too."""
    return torch.promote_types(y.dtype, torch.float32)


def _in_kernels(y: Tensor) -> bool:
    """Whether Triton works on y: on a CUDA device, where float32 is what is computed in."""
    return use_kernels(torch.empty(0, dtype=wide(y), device=y.device))


def frames_last_but_one(y: Tensor) -> Tensor:
    """``[n, C, 1, T]`` -> ``[n, T, C]``, as it lies in memory."""
    return y.permute(0, 2, 3, 1)[:, 0]


def empty_activations(like: Tensor, rows: int, channels: int, frames: int) -> Tensor:
    """An activation ``[rows, channels, 1, frames]``, channels last in memory."""
    return like.new_empty(rows, 1, frames, channels).permute(0, 3, 1, 2)


def local_moments(part: Part) -> list[tuple[int, Tensor, Tensor, Tensor]]:
    """Group, number ``[P]``, mean ``[P, C]`` and sum of squares about it ``[P, C]`` of P pieces of its values."""
    if _in_kernels(part.y):
        from clmr.kernels.moments import piecewise_moments

        return [(group, *piecewise_moments(part.y[rows])) for group, rows in part.groups()]
    found = []
    for group, rows in part.groups():
        values = part.y[rows].to(wide(part.y))
        number = torch.full((1,), len(values) * values.shape[3], dtype=torch.float64, device=values.device)
        mean, variance = torch.ops.aten.batch_norm_update_stats(values, None, None, 0.0)
        found.append((group, number, mean[None], variance.double()[None] * number))
    return found


def pooled(part: Part, affine: Tensor, pool: int, out: Tensor) -> None:
    """Write x to ``out``.

    Args:
        part: y.
        affine: mean, scale and beta, shape ``[3, G, C]``.
        pool: size and stride of the windows; frames that fill none are left out.
        out: shape ``[n, C, 1, T // pool]``, channels last in memory.
    """
    if _in_kernels(part.y):
        from clmr.kernels.pooling import pool_rows

        return pool_rows(part, affine, pool, out)
    for group, rows in part.groups():
        h = _scaled(part.y[rows].to(affine.dtype), *affine[:, group])
        out[rows].copy_(F.max_pool2d(h, (1, pool)).relu_())
    return None


def gradient_sums(part: Part, affine: Tensor, g: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """The sums of dL/dh, and of dL/dh times c, over the part's values; float64, shape ``[G, C]`` each.

    Args:
        part: y.
        affine: mean, scale and beta, shape ``[3, G, C]``.
        g: dL/dx, shape ``[n, C, 1, T // pool]``.
        pool: as in the forward pass.
    """
    if _in_kernels(part.y):
        from clmr.kernels.pooling import sum_rows

        return sum_rows(part, affine, g, pool)
    sum_g, sum_gc = torch.zeros(2, *affine.shape[1:], dtype=torch.float64, device=g.device)
    for group, rows in part.groups():
        mean, scale, _ = affine[:, group]
        y = part.y[rows].to(affine.dtype)
        routed = _routed(y, affine[:, group], g[rows], pool)
        # The sums of a norm's backward pass; its variance, 1, leaves c as it is.
        found = torch.ops.aten.native_batch_norm_backward(
            routed, y, scale, None, None, mean, torch.ones_like(mean), True, 0.0, [False, True, True]
        )
        sum_gc[group], sum_g[group] = found[1:]
    return sum_g, sum_gc


def gradient(part: Part, affine: Tensor, means: Tensor, g: Tensor, pool: int) -> Tensor:
    """dL/dy = scale (dL/dh - mean_g - c mean_gc), shape and layout of y.

    Args:
        part: y.
        affine: mean, scale and beta, shape ``[3, G, C]``.
        means: mean_g, and mean_gc = E[dL/dh c] / variance, over all values of a group; shape ``[2, G, C]``.
        g: dL/dx, shape ``[n, C, 1, T // pool]``.
        pool: as in the forward pass.
    """
    if _in_kernels(part.y):
        from clmr.kernels.pooling import spread_rows

        return spread_rows(part, affine, means, g, pool)
    dy = torch.empty_like(part.y)
    for group, rows in part.groups():
        mean, scale, _ = affine[:, group]
        mean_g, mean_gc = means[:, group]
        y = part.y[rows].to(affine.dtype)
        routed = _routed(y, affine[:, group], g[rows] * _channels(scale), pool)
        torch.add(routed, _scaled(y, mean, -scale * mean_gc, -scale * mean_g), out=dy[rows])
    return dy


def _channels(values: Tensor) -> Tensor:
    """``[C]`` -> ``[C, 1, 1]``."""
    return values[:, None, None]


def _scaled(y: Tensor, mean: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """``scale (y - mean) + offset``; torch does it fastest as a normalisation by variance + eps = 1."""
    return F.batch_norm(y, mean, torch.full_like(mean, 0.5), scale, offset, eps=0.5)


def _routed(y: Tensor, affine: Tensor, g: Tensor, pool: int) -> Tensor:
    """dL/dh, of the shape of y: g at the largest value of each window, where that is more than 0, and 0 elsewhere."""
    h = _scaled(y, *affine)
    g = g.to(h.dtype)
    if pool == 1:
        return _rectified(g, h)
    size = (1, pool), (1, pool), (0, 0), (1, 1), False
    largest, place = torch.ops.aten.max_pool2d_with_indices(h, *size)
    routed: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(_rectified(g, largest), h, *size, place)
    return routed


def _rectified(g: Tensor, x: Tensor) -> Tensor:
    """``g`` where x > 0, and 0 elsewhere."""
    gradient: Tensor = torch.ops.aten.threshold_backward(g, x, 0)
    return gradient
