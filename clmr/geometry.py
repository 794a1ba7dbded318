"""How projections lie on the unit sphere: alignment and uniformity (Wang and Isola, 2020), over all ranks.

NT-Xent pulls the two views of a track together and pushes everything else apart. These two numbers tell the halves
apart, which the loss alone does not: a collapsed encoder has perfect alignment and no uniformity.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.collectives import gather_rows, rank, sum_over_ranks
from clmr.errors import ConfigError

BLOCK = 2**24  # distances that are kept at once, unless one row has more; 64 MiB in float32


def _normalised(z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor]:
    """Both views with rows of length 1, in float32 or wider."""
    if z_i.ndim != 2 or z_i.shape != z_j.shape or not len(z_i):
        raise ConfigError(
            "alignment and uniformity take two [n, D] tensors of one shape with at least one row, "
            f"got {list(z_i.shape)} and {list(z_j.shape)}"
        )
    wide = torch.promote_types(z_i.dtype, torch.float32)
    return F.normalize(z_i.to(wide), dim=1), F.normalize(z_j.to(wide), dim=1)


@torch.no_grad()
def alignment(z_i: Tensor, z_j: Tensor) -> Tensor:
    """Mean squared distance between the two views of a track: 0 where they coincide, 2 where they are unrelated.

    Args:
        z_i: projections of this rank's first views, shape ``[n, D]``, of any length.
        z_j: projections of the second views, row by row the same tracks.

    Returns:
        A scalar in [0, 4] without gradient, of this rank's pairs; its mean over ranks is that of the whole batch.

    Raises:
        ConfigError: the shapes do not fit.
    """
    first, second = _normalised(z_i, z_j)
    return (first - second).square().sum(dim=1).mean()


@torch.no_grad()
def uniformity(z_i: Tensor, z_j: Tensor) -> Tensor:
    """Log of the mean of exp(-2 ||u - v||^2) over pairs of different rows among the 2N projections of all ranks.

    0 where all projections coincide, about -4 where they are spread evenly over a sphere of many dimensions (almost
    all pairs at right angles). Memory grows with N, not with its square. Every rank must call it.

    Args:
        z_i: projections of this rank's first views, shape ``[n, D]``, the same on every rank, of any length.
        z_j: projections of the second views.

    Returns:
        A scalar in [-8, 0] without gradient, the same on every rank.

    Raises:
        ConfigError: the shapes do not fit.
    """
    with torch.autocast(z_i.device.type, enabled=False):
        mine = torch.cat(_normalised(z_i, z_j))
        everyone = gather_rows(mine)  # [W * 2n, D]: row a of rank r is row r * 2n + a
        # A zero projection stays zero when normalised, so squared lengths are computed, not taken to be 1.
        squared = everyone.square().sum(dim=1)
        first, step = rank() * len(mine), max(1, BLOCK // len(everyone))
        total = torch.zeros((), dtype=torch.float64, device=mine.device)
        for start in range(0, len(mine), step):
            rows = mine[start : start + step]
            # ||u - v||^2 = ||u||^2 + ||v||^2 - 2 u.v, not below 0 as rounding may make it.
            distance = torch.addmm(squared, rows, everyone.T, alpha=-2)
            distance.add_(rows.square().sum(dim=1, keepdim=True)).clamp_(min=0)
            distance.diagonal(first + start).fill_(float("inf"))  # a row is no pair with itself
            total += distance.mul_(-2).exp_().sum(dtype=torch.float64)
        count = len(everyone) * (len(everyone) - 1)
        return (sum_over_ranks(total) / count).log().to(mine.dtype)
