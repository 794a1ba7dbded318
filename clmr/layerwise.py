"""One layer of the fused training pass: its parts, its normalisation over all rows, and its way back.

The rows of a batch are worked on in parts: on a GPU so that what is made again stays small beside what is kept and
below 2^31 numbers, on a CPU so that it stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.batchnorm import Moments, over_ranks
from clmr.collectives import sum_over_ranks
from clmr.pooling import Part, empty_activations, gradient, gradient_sums, local_moments, pooled, wide

# Numbers of an activation worked on together.
PART_ON_GPU = 2**29
PART_ON_CPU = 2**19


@dataclass(frozen=True)
class Layer:
    """What a node needs besides tensors."""

    pool: int
    """Size and stride of the pooling after the convolution."""

    pool_before: int
    """The same of the layer before."""

    groups: int
    """Parts of the batch, of equal size, that are normalised apart."""

    eps: float
    """Added to the variance."""

    rows_before: int
    """Rows of each part of the layer before; the last may have fewer."""

    rows: int
    """The same of this layer."""


def rows_of_a_part(numbers_per_row: int, rows: int, multiple: int, on_gpu: bool) -> int:
    """How many of ``rows`` rows are worked on together: a multiple of the layer before, so that parts lie in parts."""
    fitting = (PART_ON_GPU if on_gpu else PART_ON_CPU) // numbers_per_row
    return min(rows, max(1, fitting // multiple) * multiple)


def parts_of(whole: Sequence[Tensor], layer: Layer) -> Iterator[Part]:
    """The layer's parts, with their places."""
    rows_per_group = sum(map(len, whole)) // layer.groups
    first = 0
    for y in whole:
        yield Part(y, first, rows_per_group)
        first += len(y)


def normalise(parts: Sequence[Tensor], gamma: Tensor, beta: Tensor, layer: Layer) -> tuple[Tensor, Moments]:
    """Mean, scale and beta ``[3, G, C]`` of the layer's output, and its moments over all ranks."""
    pieces: list[list[list[Tensor]]] = [[] for _ in range(layer.groups)]
    for part in parts_of(parts, layer):
        for group, *piece in local_moments(part):
            pieces[group].append(piece)
    found = []
    for own in pieces:
        # As in over_ranks: m = sum n_p m_p / n,  n v = sum (q_p + n_p (m_p - m)^2), q_p about the piece's own mean
        n, mean, squares = (torch.cat(part).double() for part in zip(*own, strict=True))
        n, total = n[:, None], n.sum()
        mean_of_all = (n * mean).sum(dim=0) / total
        found.append((total[None], mean_of_all, (squares + n * (mean - mean_of_all) ** 2).sum(dim=0) / total))
    all_moments = over_ranks(Moments(*map(torch.stack, zip(*found, strict=True))))
    scale = (all_moments.variance + layer.eps).rsqrt() * gamma
    affine = torch.stack([all_moments.mean, scale, beta.double().expand_as(scale)]).to(wide(parts[0]))
    return affine, all_moments


def output_of(parts: Sequence[Tensor], affine: Tensor, layer: Layer) -> Tensor:
    """Return x after the layer, of all rows."""
    rows, (_, channels, _, frames) = sum(map(len, parts)), parts[0].shape
    x = empty_activations(parts[0], rows, channels, frames // layer.pool)
    for part in parts_of(parts, layer):
        pooled(part, affine, layer.pool, x[part.first : part.first + len(part.y)])
    return x


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """``[n, C_in, 1, T]`` -> ``[n, C_out, 1, T + 3 - k]``, channels last in memory, without the bias."""
    return F.conv2d(x, weight.to(x.dtype)[:, :, None], padding=(0, 1)).contiguous(memory_format=torch.channels_last)


class LayerBackward:
    """The backward pass of a layer, part by part: to y, and through the convolution to x and the weight."""

    def __init__(self, parts: Sequence[Tensor], affine: Tensor, moments: Moments, g: Tensor, layer: Layer) -> None:
        self.parts, self.affine, self.layer = list(parts_of(parts, layer)), affine, layer
        self.g = g.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        sum_g, sum_gc = torch.zeros(2, *affine.shape[1:], dtype=torch.float64, device=g.device)
        for part in self.parts:
            found_g, found_gc = gradient_sums(part, affine, self._of(part), layer.pool)
            sum_g += found_g
            sum_gc += found_gc
        # With h = (y - mean) rstd:  dL/dbeta = sum g,  dL/dgamma = sum g h, over this rank's values;
        # dL/dy = gamma rstd (g - E[g] - h E[g h]), E over all ranks' values of the same group.
        variance = moments.variance + layer.eps
        mean_g, mean_gc = sum_over_ranks(torch.stack([sum_g, sum_gc])) / moments.n
        self.means = torch.stack([mean_g, mean_gc / variance]).to(affine.dtype)
        self.gamma = (sum_gc * variance.rsqrt()).sum(dim=0)
        self.beta = sum_g.sum(dim=0)

    def of_norm(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """dL/dgamma and dL/dbeta."""
        return self.gamma.to(like.dtype), self.beta.to(like.dtype)

    def _of(self, part: Part) -> Tensor:
        return self.g[part.first : part.first + len(part.y)]

    def through(self, part: Part, x: Tensor, weight: Tensor, need_x: bool) -> tuple[Tensor, Tensor]:
        """dL/dx (if needed) and dL/dweight ``[C_out, C_in, k]`` of one part of the rows."""
        dy = gradient(part, self.affine, self.means, self._of(part), self.layer.pool)
        dx, dw, _ = torch.ops.aten.convolution_backward(
            dy, x, weight.to(x.dtype)[:, :, None], None, [1, 1], [0, 1], [1, 1], False, [0, 0], 1, [need_x, True, False]
        )
        return dx, dw[:, :, 0].to(self.affine.dtype)
