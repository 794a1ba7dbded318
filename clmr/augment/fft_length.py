"""Lengths of FFTs that are fast on every device."""

from __future__ import annotations

from itertools import count

MULTIPLE = 16
"""Of every length: MKL takes three times as long for a power of 3, 3^10, as for 60,000 next to it."""


def fast_length(least: int) -> int:
    """The least multiple of 16 that is ``least`` or more and has no prime factor above 5.

    Args:
        least: samples, any number; below 16 it is 16.
    """
    # m divides a power of 30 exactly when it has no prime factor above 5; m < 2^bit_length bounds its exponents.
    return MULTIPLE * next(m for m in count(max(1, -(-least // MULTIPLE))) if pow(30, m.bit_length(), m) == 0)
