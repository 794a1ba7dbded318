"""Fractions in place of real ratios, so that read positions are exact in whole numbers on every device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CENTS = 0.02  # of error at most; over 59,049 samples the read position is then off by 0.7 sample at the end
TOLERANCE = 2 ** (CENTS / 1200) - 1


def nearest_ratio(value: Tensor) -> tuple[Tensor, Tensor]:
    """The simplest fraction within 0.02 cent of each value.

    Args:
        value: float64, > 0, on the host, shape ``[N]``.

    Returns:
        ``(p, q)``: int64 on the host, shape ``[N]`` each, p / q near ``value`` and q as small as can be. Of values
        between half and double, q is mostly below 400; it is 1 within 0.02 cent of 1, and 43,300 at most, just beside.
    """
    pairs = [_simplest(v / (1 + TOLERANCE), v * (1 + TOLERANCE)) for v in value.tolist()]
    p, q = torch.tensor(pairs, dtype=torch.int64, device="cpu").view(-1, 2).unbind(1)
    return p, q


def _simplest(low: float, high: float) -> tuple[int, int]:
    """The fraction with the smallest denominator in [low, high], 0 < low < high."""
    whole = math.floor(low)
    if whole == low:
        return whole, 1
    if whole + 1 <= high:
        return whole + 1, 1
    # Both ends lie strictly between two whole numbers. x = whole + 1 / y is simplest where y is.
    p, q = _simplest(1 / (high - whole), 1 / (low - whole))
    return whole * p + q, p
