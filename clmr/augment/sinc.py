"""Windowed-sinc low-pass and high-pass filters, a cutoff per row: those of the authors' code."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ZEROS = 8  # zero crossings of the sinc that the window keeps, over both sides


def half_length(hz: float, sample_rate: int) -> int:
    """Taps on each side of the centre of a filter with this cutoff in Hz."""
    return int(ZEROS / (hz / sample_rate) / 2)


def sinc_filter(audio: Tensor, hz: Tensor, high: Tensor, sample_rate: int, lowest_hz: float) -> Tensor:
    """Low-pass or high-pass each row with a Hann-windowed sinc, -6 dB at its cutoff.

    The definition of julius' ``LowPassFilters``: ``h[i] = w[i] sinc(2 f i)`` for ``|i| <= L = int(8 / f / 2)``,
    ``f = hz / sample_rate``, w a symmetric Hann window, scaled to sum 1; ends repeated; high-pass = input - low-pass.

    Args:
        audio: shape ``[N, 1, T]``.
        hz: cutoff of each row in Hz, > 0, shape ``[N]``. At or above half the sample rate the low-pass returns its
            input and the high-pass silence.
        high: bool, shape ``[N]``: True for the high-pass.
        sample_rate: samples per second.
        lowest_hz: no cutoff is lower; it sets the length of the longest filter without a look at the rows.

    Returns:
        Filtered audio, shape ``[N, 1, T]``.
    """
    longest = half_length(lowest_hz, sample_rate)
    cutoff = (hz.double() / sample_rate)[:, None]
    half = (ZEROS / cutoff / 2).floor()
    i = torch.arange(-longest, longest + 1, device=audio.device)
    window = (0.5 + 0.5 * torch.cos(math.pi * i / half)).masked_fill(i.abs() > half, 0)
    taps = window * torch.sinc(2 * cutoff * i)
    taps = (taps / taps.sum(dim=1, keepdim=True)).to(audio.dtype)
    # The taps are symmetric, so the FFT's circular convolution of the padded signal holds output n at n + 2 longest;
    # the 2 longest samples before it are the ones that wrapped around.
    padded = F.pad(audio, (longest, longest), mode="replicate")[:, 0]
    size = _smooth_length(padded.shape[1])
    low = torch.fft.irfft(torch.fft.rfft(padded, size) * torch.fft.rfft(taps, size), size)
    low = low[:, 2 * longest : padded.shape[1]]
    x = audio[:, 0]
    low = torch.where((hz >= sample_rate / 2)[:, None], x, low)
    return torch.where(high[:, None], x - low, low)[:, None]


def _smooth_length(length: int) -> int:
    """The least number >= ``length`` with no prime factor above 5: FFTs of such lengths are fast."""
    best = 1 << (length - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-length // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best
