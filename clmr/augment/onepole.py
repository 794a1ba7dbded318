"""First-order low-pass and high-pass filters, a cutoff per row, exact and without a loop over samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clmr.augment.augmentation import check_audio, check_parameter
from clmr.augment.kernels.launch import use_kernels
from clmr.augment.send import send
from clmr.errors import ConfigError

BLOCK = 16  # samples per triangular product: about 16 multiply-adds a sample, and log16(T) levels
TILE = 8  # rows filtered at a time on the CPU


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
        hz: cutoff of each row in Hz, > 0, shape ``[N]``, on the host (values on a device are fetched, a wait). At or
            above half the sample rate nothing is above the cutoff: the low-pass returns its input, the high-pass
            silence.
        high: bool, shape ``[N]``, on the host too: True for the high-pass.
        sample_rate: samples per second.

    Returns:
        Filtered audio, shape ``[N, 1, T]``.

    Raises:
        ConfigError: a shape or a dtype is not one of these, or a cutoff is not above 0 Hz.
    """
    check_audio(audio, "first_order_filter")
    hz = check_parameter("hz", hz, len(audio))
    high = check_parameter("high", high, len(audio), torch.bool)
    if not bool((hz > 0).all()):
        raise ConfigError(f"cutoffs must be above 0 Hz, got {hz.min()}")
    if audio.numel() == 0:
        return audio.clone()
    # (tan a - 1) / (tan a + 1) = tan(a - pi / 4); at half the sample rate c = 1, A = 1.
    c = torch.where(hz < sample_rate / 2, torch.tan(math.pi * hz / sample_rate - math.pi / 4), 1.0)
    # (1 +- A) / 2 = b (1 +- z^-1) / (1 + c z^-1) with b = (1 +- c) / 2, that is, with w = x / (1 + c z^-1):
    # y[n] = b x[n] + b (-c +- 1) w[n - 1].
    sign = torch.where(high, -1.0, 1.0).double()
    b, pole = (1 + sign * c) / 2, -c
    delayed = b * (pole + sign)
    if use_kernels(audio):
        from clmr.augment.kernels.onepole import first_order

        return first_order(audio, pole, b, delayed)
    # Its impulse response is b, then after[n - 1] = b (-c +- 1) (-c)^(n - 1).
    step = torch.arange(BLOCK, device="cpu")
    powers = pole[:, None] ** step
    after = delayed[:, None] * powers
    # Within a block the filter is a triangular matrix: response[i, j] = what sample j hears of sample i.
    lag = step - step[:, None]
    response = torch.cat([b[:, None], after], dim=1)[:, lag.clamp(min=0)].masked_fill(lag < 0, 0)
    # What came before a block reaches its sample j as after[j] w, w = the last sample of the recurrence
    # w[n] = x[n] + pole w[n - 1] there; over a block w grows by sum_i pole^(BLOCK - 1 - i) x[i].
    summary, response, after, leap = (
        send(values, audio.device) for values in (powers.flip(1)[:, :, None], response, after, pole**BLOCK)
    )
    # On the CPU a few rows at a time: larger buffers are given back to the system and paged in anew for every call.
    tile = TILE if audio.device.type == "cpu" else max(1, len(audio))
    tiles = zip(*(values.split(tile) for values in (audio, summary, response, after, leap)), strict=True)
    return torch.cat([_filter(*values) for values in tiles])


def _filter(audio: Tensor, summary: Tensor, response: Tensor, after: Tensor, leap: Tensor) -> Tensor:
    """The filter of :func:`first_order_filter`, given its matrices on the device."""
    rows, _, length = audio.shape
    blocks = -(-length // BLOCK)
    # float64: neither autocast nor TF32 may touch the products, and the recursion loses nothing to rounding.
    x = audio.new_empty((rows, blocks * BLOCK), dtype=torch.float64)
    x[:, :length] = audio[:, 0]
    x[:, length:] = 0
    x = x.view(rows, blocks, BLOCK)
    before = one_pole((x @ summary)[:, :, 0], leap)
    y = x @ response
    y[:, 1:].addcmul_(before[:, :-1, None], after[:, None])
    return y.view(rows, 1, -1)[:, :, :length].to(audio.dtype)
