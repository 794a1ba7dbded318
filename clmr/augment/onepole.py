"""First-order low-pass and high-pass filters, a cutoff per row, exact and without a loop over samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 16  # samples per triangular product: about 16 multiply-adds a sample, and log16(T) levels


def one_pole(x: Tensor, pole: Tensor) -> Tensor:
    """``y[n] = x[n] + pole * y[n - 1]`` along the last axis, starting from rest.

    Args:
        x: float64, shape ``[N, T]``.
        pole: float64, shape ``[N]``, |pole| <= 1.

    Returns:
        y, float64, shape ``[N, T]``.
    """
    rows, length = x.shape
    size = min(BLOCK, length)
    blocks = -(-length // size)
    # Within a block, y is the input times a triangular matrix: y[j] = sum_{i <= j} pole^(j - i) x[i].
    step = torch.arange(size, device=x.device)
    lag = step - step[:, None]
    triangle = (pole[:, None, None] ** lag.clamp(min=0)).masked_fill(lag < 0, 0)
    y = torch.nn.functional.pad(x, (0, blocks * size - length)).view(rows, blocks, size) @ triangle
    if blocks > 1:
        # What a block leaves behind, s, obeys the same recurrence one level up with pole^size:
        # s[b] = y[b, -1] + pole^size s[b - 1];  and the next block owes to it pole^(j + 1) s[b] at its sample j.
        left = one_pole(y[:, :, -1], pole**size)
        y[:, 1:].addcmul_(left[:, :-1, None], (pole[:, None] ** (step + 1))[:, None])
    return y.view(rows, -1)[:, :length]


def first_order_filter(audio: Tensor, hz: Tensor, high: Tensor, sample_rate: int) -> Tensor:
    """Low-pass or high-pass each row at 6 dB per octave, -3 dB at its cutoff.

    The filters of essentia's LowPass and HighPass (Zoelzer, DAFX, 2002, section 2.2): with the first-order all-pass
    ``A(z) = (c + z^-1) / (1 + c z^-1)``, ``c = (tan(pi hz / fs) - 1) / (tan(pi hz / fs) + 1)``,
    low = (1 + A) / 2 and high = (1 - A) / 2.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        hz: cutoff of each row in Hz, > 0, shape ``[N]``. At or above half the sample rate nothing is above the
            cutoff: the low-pass returns its input, the high-pass silence.
        high: bool, shape ``[N]``: True for the high-pass.
        sample_rate: samples per second.

    Returns:
        Filtered audio, shape ``[N, 1, T]``.
    """
    # (tan a - 1) / (tan a + 1) = tan(a - pi / 4); at half the sample rate c = 1, A = 1.
    c = torch.tan(math.pi * hz.double() / sample_rate - math.pi / 4)
    c = torch.where(hz < sample_rate / 2, c, 1.0)[:, None]
    # (1 +- A) / 2 = b (1 +- z^-1) / (1 + c z^-1) with b = (1 +- c) / 2. Its impulse response is b, then
    # b (-c +- 1) (-c)^(n - 1), so with w = x / (1 + c z^-1):  y[n] = b x[n] + b (-c +- 1) w[n - 1].
    sign = torch.where(high, -1.0, 1.0).to(c)[:, None]
    b = (1 + sign * c) / 2
    x = audio[:, 0]
    # float64: neither autocast nor TF32 may touch the products, and the recursion loses nothing to rounding.
    w = one_pole(x.double(), -c[:, 0]).to(x.dtype)
    y = b.to(x.dtype) * x
    y[:, 1:].addcmul_(w[:, :-1], (b * (sign - c)).to(x.dtype))
    return y[:, None]
