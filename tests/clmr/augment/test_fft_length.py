"""Lengths of FFTs against a list of the numbers without a prime factor above 5."""

from __future__ import annotations

from clmr.augment.fft_length import fast_length


def test_least_of_the_list() -> None:
    fast = sorted(16 * 2**a * 3**b * 5**c for a in range(9) for b in range(6) for c in range(5))
    for least in range(1, 2000):
        assert fast_length(least) == min(length for length in fast if length >= least)
    assert fast_length(0) == fast_length(16) == 16


def test_next_to_a_power_of_three() -> None:
    """3^10 = 59049 samples, a view: MKL is slow at it."""
    assert fast_length(3**10) == 60_000
