"""Windowed-sinc low-pass and high-pass filters, a cutoff per row: those of the authors' code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clmr.augment.augmentation import check_audio, check_parameter
from clmr.augment.fft_length import fast_length
from clmr.augment.send import send
from clmr.errors import ConfigError

ZEROS = 8  # zero crossings of the sinc that the window keeps, over both sides


def half_length(hz: float, sample_rate: int) -> int:
    """Taps on each side of the centre of a filter with this cutoff in Hz."""
    return int(ZEROS / (hz / sample_rate) / 2)


def sinc_filter(audio: Tensor, hz: Tensor, high: Tensor, sample_rate: int, lowest_hz: float) -> Tensor:
    """Low-pass or high-pass each row with a Hann-windowed sinc, -6 dB at its cutoff.

    The definition of julius' ``LowPassFilters``: ``h[i] = w[i] sinc(2 f i)`` for ``|i| <= L = int(8 / f / 2)``,
    ``f = hz / sample_rate``, w a symmetric Hann window, scaled to sum 1; ends repeated; high-pass = input - low-pass.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        hz: cutoff of each row in Hz, shape ``[N]``, on the host (values on a device are fetched, a wait). At or above
            half the sample rate the low-pass returns its input and the high-pass silence.
        high: bool, shape ``[N]``, on the host too: True for the high-pass.
        sample_rate: samples per second.
        lowest_hz: no cutoff is lower; it sets the size of the FFTs, so that a row does not depend on the others.

    Returns:
        Filtered audio, shape ``[N, 1, T]``.

    Raises:
        ConfigError: a shape or a dtype is not one of these, or a cutoff is below ``lowest_hz``.
    """
    check_audio(audio, "sinc_filter")
    hz = check_parameter("hz", hz, len(audio))
    high = check_parameter("high", high, len(audio), torch.bool)
    if lowest_hz <= 0 or not bool((hz >= lowest_hz).all()):
        lowest = hz.min() if len(hz) else "none"
        raise ConfigError(f"cutoffs must be at or above lowest_hz > 0, got {lowest} and lowest_hz {lowest_hz}")
    if audio.numel() == 0:
        return audio.clone()
    length, longest = audio.shape[2], half_length(lowest_hz, sample_rate)
    taps = send(_design(hz / sample_rate, high, longest).to(audio.dtype), audio.device)
    # Overlap-save: each FFT takes `size` samples, the last 2 longest of the piece before among them. Its circular
    # convolution is right from 2 longest on, where nothing has wrapped around; the taps are symmetric, so what stands
    # there belongs to the sample `longest` earlier: as far as the signal is padded.
    size = _fft_length(length, longest)
    step = size - 2 * longest
    pieces = -(-length // step)
    padded = audio.new_empty((len(audio), pieces * step + 2 * longest))
    padded[:, :longest] = audio[:, 0, :1]
    padded[:, longest : longest + length] = audio[:, 0]
    padded[:, longest + length :] = audio[:, 0, -1:]
    spectrum = torch.fft.rfft(padded.unfold(1, size, step)) * torch.fft.rfft(taps, size)[:, None]
    filtered: Tensor = torch.fft.irfft(spectrum, size)[:, :, 2 * longest :]
    filtered = filtered.reshape(len(audio), 1, pieces * step)[:, :, :length]
    above = hz >= sample_rate / 2
    if bool(above.any()):  # exactly, not to within rounding
        kept = send((~high).to(audio.dtype), audio.device)[:, None, None]
        filtered = torch.where(send(above, audio.device)[:, None, None], audio * kept, filtered)
    return filtered


def _design(cutoff: Tensor, high: Tensor, longest: int) -> Tensor:
    """Taps of each row, shape ``[N, 2 longest + 1]``, float64; ``cutoff`` in units of the sample rate."""
    half = (ZEROS / cutoff / 2).floor().clamp(min=1)[:, None]  # 0 where nothing is filtered anyway
    i = torch.arange(-longest, longest + 1, dtype=torch.float64, device="cpu")
    window = (0.5 + 0.5 * torch.cos(math.pi * i / half)).masked_fill(i.abs() > half, 0)
    taps = window * torch.sinc(2 * cutoff[:, None] * i)
    taps = taps / taps.sum(dim=1, keepdim=True)
    return torch.where(high[:, None], torch.eq(i, 0).double() - taps, taps)


def _fft_length(length: int, longest: int) -> int:
    """Samples per FFT: a power of two that the overlap fills by a quarter at most, or the whole signal if shorter."""
    size = 1 << (8 * longest - 1).bit_length()
    return min(size, fast_length(length + 2 * longest))
