"""How far a result is from what it should be."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.gpu.check import WrongError


def distance(got: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest magnitude of what is wanted; infinite where a shape differs."""
    if got.shape != wanted.shape:
        return float("inf")
    if wanted.numel() == 0:
        return 0.0
    wide = torch.promote_types(wanted.dtype, torch.float32)
    here, there = got.detach().to("cpu", wide), wanted.detach().to("cpu", wide)
    if not bool(torch.isfinite(here).all()):
        return float("inf")
    return float((here - there).abs().max() / there.abs().max().clamp(min=1e-30))


def at_most(what: str, found: float, limit: float) -> float:
    """The distance found, where it is within the limit.

    Raises:
        WrongError: it is not, or is no number.
    """
    if not found <= limit:
        raise WrongError(f"{what}: {found:.3g}, at most {limit:.3g} wanted")
    return found


def close(what: str, got: Tensor, wanted: Tensor, limit: float) -> float:
    """:func:`distance`, where it is within the limit."""
    return at_most(f"{what}, relative difference", distance(got, wanted), limit)


def all_close(what: str, got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], limit: float) -> float:
    """The largest :func:`distance` of tensors by name.

    A tensor whose numbers are all small is measured by a thousandth of the largest of all: rounding errors of sums do
    not shrink with the sums.
    """
    if got.keys() != wanted.keys():
        raise WrongError(f"{what}: the names differ in {', '.join(sorted(got.keys() ^ wanted.keys()))}")
    largest = max((float(each.detach().abs().max()) for each in wanted.values() if each.numel()), default=0.0)
    worst = 0.0
    for name, there in wanted.items():
        least = 1e-3 * largest / max(float(there.detach().abs().max()), 1e-30) if there.numel() else 1.0
        found = distance(got[name], there) / max(1.0, least)
        worst = max(worst, at_most(f"{what} of {name}, relative difference", found, limit))
    return worst


def equal(what: str, got: Tensor, wanted: Tensor) -> None:
    """To the bit.

    Raises:
        WrongError: a shape or a number differs.
    """
    if got.shape != wanted.shape:
        raise WrongError(f"{what}: shape {list(got.shape)}, {list(wanted.shape)} wanted")
    if different := int((got.cpu() != wanted.cpu()).sum()):
        raise WrongError(f"{what}: {different} of {wanted.numel()} numbers differ")


def apart(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """Length of the difference over the length of what is wanted, all tensors taken as one vector."""
    here, there = (
        torch.cat([each[name].detach().double().cpu().flatten() for name in wanted]) for each in (got, wanted)
    )
    return float((here - there).norm() / there.norm().clamp(min=1e-300))


def cosine(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """Of the angle between two gradients, all their tensors taken as one vector."""
    here, there = (
        torch.cat([each[name].detach().double().cpu().flatten() for name in wanted]) for each in (got, wanted)
    )
    return float(torch.nn.functional.cosine_similarity(here, there, dim=0))
