"""Windowed-sinc resampling with a ratio per row.

The ratio of a row is a fraction p / q, so output n stands at input n p / q, and the weights repeat after q outputs.
The work is matrix products: of each period of q outputs, 32 neighbours at a time are one matrix of weights times the
inputs around them, and the same 32 of all periods make one product, whose rows are the input read from every p-th
sample on, mostly without a copy.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from clmr.augment.kernels.launch import use_kernels
from clmr.augment.send import send

HALF = 48  # zero crossings of the sinc on each side
ROLLOFF = 0.94  # cutoff, as a share of the lower of the two Nyquist frequencies
WINDOW = (0.355768, 0.487396, 0.144232, 0.012604)  # Nuttall's with four terms; it ends in zeros
BLOCK = 32  # neighbouring outputs that share a matrix of weights
# Outputs of a period at least: several periods of a simpler fraction count as one, lest products be thin and many.
SHORTEST = 128

MKLDNN: Any = torch.backends.mkldnn  # its annotations lack what its documentation names


def resample(audio: Tensor, p: Tensor, q: Tensor, frames: int) -> Tensor:
    """``y[n] = sum_i x[i] h(i - n p / q)``, with zeros around the input.

    ``h(t) = c sinc(c t) w(t / L)`` for ``|t| < L``: a low-pass with its half-amplitude point at 0.94 of the lower of
    the two Nyquist frequencies, ``c = 0.94 min(1, q / p)``, ``L = 48 max(1, p / q)``, and 93 dB down from 1.02 on, by
    Nuttall's window ``w(u) = sum_k a_k cos(k pi u)`` (A. Nuttall, Some windows with very good sidelobe behavior, IEEE
    Trans. ASSP 29(1), 1981).

    Args:
        audio: shape ``[N, M]``, float32 or float64.
        p: samples of the input per period, int64 on the host, > 0, shape ``[N]``.
        q: samples of the output per period, int64 on the host, > 0, shape ``[N]``.
        frames: samples of the output.

    Returns:
        Shape ``[N, frames]``.
    """
    if use_kernels(audio):
        from clmr.augment.kernels import resample as kernels

        return kernels.resample(audio, p, q, frames)
    # float64 where products of float32 are, or may be, of TF32 or bfloat16.
    plain = audio.device.type == "cpu" and MKLDNN.matmul.fp32_precision in {"none", "ieee"}
    dtype = audio.dtype if plain else torch.float64
    ratios = list(zip(p.tolist(), q.tolist(), strict=True))
    steepest = max((inputs / outputs for inputs, outputs in ratios), default=1)
    lead = _half(steepest)
    length = lead + max(audio.shape[1], math.ceil(frames * steepest) + _taps(steepest))
    line = torch.zeros(length, dtype=dtype, device=audio.device)
    result = torch.empty(frames + BLOCK, dtype=dtype, device=audio.device)  # the last block may stand out
    out = audio.new_empty(len(audio), frames)
    for row, (inputs, outputs) in enumerate(ratios):
        line[lead : lead + audio.shape[1]] = audio[row]
        times = -(-SHORTEST // outputs)
        _resample_row(line, lead, inputs * times, outputs * times, result)
        out[row] = result[:frames]
    return out


def _half(ratio: float) -> int:
    """Inputs that count on each side."""
    return math.ceil(HALF * max(1, ratio))


def _taps(ratio: float) -> int:
    """Inputs that count for any of the outputs of a block."""
    return 2 * _half(ratio) + math.ceil((BLOCK - 1) * ratio) + 2


def _resample_row(line: Tensor, lead: int, p: int, q: int, out: Tensor) -> None:
    """Fill ``out``, but for a block at its end, from ``line``, whose first sample is number ``-lead``."""
    half, taps, frames = _half(p / q), _taps(p / q), len(out) - BLOCK
    inputs = torch.arange(-half, taps - half, device=line.device, dtype=line.dtype)[:, None]
    for first in range(0, min(q, frames), 16 * BLOCK):
        # Output n of the period stands at n p / q = whole + part / q; its block reads from base - half on.
        n = torch.arange(first, min(first + 16 * BLOCK, q, frames), device="cpu")
        whole, part = n * p // q, n * p % q
        base = whole[::BLOCK]
        shift = (whole - base.repeat_interleave(BLOCK)[: len(n)]).to(line.dtype)
        # Whole numbers first, so that float32 keeps the fraction; it is never 0, for the sake of sin(t) / t.
        fraction = (part.double() / q).clamp(min=1e-30).to(line.dtype)
        weights = _weights((inputs - send(shift, line.device)).sub_(send(fraction, line.device)), p / q)
        for at, start, w in zip(n[::BLOCK].tolist(), base.tolist(), weights.split(BLOCK, dim=1), strict=True):
            periods = -(-(frames - at) // q)
            windows = line.as_strided((periods, taps), (p, 1), start + lead - half)
            # Autocast leaves alone what has an out=.
            torch.mm(windows, w, out=out.as_strided((periods, w.shape[1]), (q, 1), at))


def _weights(t: Tensor, ratio: float) -> Tensor:
    """``h(t)`` of :func:`resample`; t is not 0, and is written over."""
    c, length = ROLLOFF * min(1, 1 / ratio), HALF * max(1, ratio)
    angle = t * (math.pi * c)
    weights = torch.sin(angle).div_(angle)
    # c sum_k a_k cos(k u) is a polynomial in cos(u), and 0 at u = pi, where everything beyond is brought to.
    a0, a1, a2, a3 = (c * a for a in WINDOW)
    cosine = t.clamp_(-length, length).mul_(math.pi / length).cos_()
    window = (cosine * (4 * a3)).add_(2 * a2).mul_(cosine).add_(a1 - 3 * a3).mul_(cosine).add_(a0 - a2)
    return weights.mul_(window)
