"""The reverb's transfer function times a spectrum, in one pass over the spectrum.

In plain PyTorch every comb filter reads and writes tensors of ``[N, K]``; here its numbers never leave the registers.

What it costs (see :func:`work`), for a view of 59,049 samples and 72,000 points of FFT: the spectrum of 36,001 complex
numbers is read and written once, 0.58 MB, 0.17 us of an H100's memory. A pair of bins takes about 1,200 instructions
as compiled, 70 for each of the 16 combs: 22 million a view, 0.65 us of an H100's float32 units. So it is bound by
arithmetic, about as long as the two FFTs around it, and nearly half of the arithmetic is for phases:

- Bins k and n_fft / 2 - k have the same phases up to signs, exactly, so a sine and a cosine serve two bins.
- A phase is a whole number of turns over n_fft; it is reduced in integers and rounded once. Turning the phasor of one
  bin into that of another by a multiplication would save a quarter and lose 2 dB at the longest, brightest reverb:
  near the peaks of a comb of feedback 0.98 the transfer function multiplies the rounding of phasors by 50, and the
  weights that undo the damping multiply it again.
- A table of phasors would be read at 16 scattered places per bin: 18 MB of cache lines a view, over 3 us.

Each number depends on its own row and bin alone: a row's result does not depend on the rest of the batch.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from clmr.augment.freeverb import Circle, Combs
from clmr.augment.kernels.bound import Work
from clmr.augment.send import send
from clmr.errors import ConfigError

COMBS = 16  # 8 of each channel
PAIRS = 128  # pairs of bins per program
WARPS = 4  # one pair per thread

_INSTRUCTIONS = 1200  # per pair of bins, as compiled for an H100


def work(rows: int, n_fft: int) -> Work:
    """What :func:`wet_spectrum` has to do at least for ``rows`` rows; the all-passes stay in the device's cache."""
    bins = n_fft // 2 + 1
    return Work(memory=rows * bins * 16.0, float32=rows * (n_fft // 4 + 1) * 2.0 * _INSTRUCTIONS)


@triton.jit
def _phasor(
    k: tl.tensor, delay: tl.tensor, n_fft: tl.tensor, inverse: tl.tensor, shift: tl.tensor,
    turn: tl.tensor, wide: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """1 - the cosine, and the sine, of 2 pi k delay / n_fft, each to about a unit in the last place."""
    # In quarter turns 4 k delay / n_fft = quarter + (rest - n_fft / 2) / n_fft with 0 <= rest < n_fft: at most half a
    # quarter to either side.
    if wide:
        product = 4 * k.to(tl.uint64) * delay.to(tl.uint64) + (n_fft // 2).to(tl.uint64)
        quarter = (product // n_fft.to(tl.uint64)).to(tl.uint32)
        rest = (product % n_fft.to(tl.uint64)).to(tl.uint32)
    else:
        product = 4 * k * delay + n_fft // 2
        # inverse = 2^(32 + shift) / n_fft, rounded down to 31 bits, so this is the quotient; or one less where the rest
        # is nearly 0, and the angle then a little above pi / 4, which the polynomials bear.
        quarter = tl.umulhi(product, inverse) >> shift
        rest = product - quarter * n_fft
    part = (rest.to(tl.int32) - (n_fft // 2).to(tl.int32)).to(tl.float32)
    angle = part * turn
    # Polynomials of least largest error on +-pi / 4, there below 1e-8.
    square = angle * angle
    sine = angle + angle * (square * (-1.666666466e-1 + square * (8.332748052e-3 - square * 1.958782405e-4)))
    versine = 0.5 * square - square * square * (4.166666466e-2 + square * (2.454786468e-5 * square - 1.388830275e-3))
    # A quarter turn makes (-s, c) of (c, s).
    swap = quarter % 2 == 1
    cos, sin = tl.where(swap, sine, 1 - versine), tl.where(swap, 1 - versine, sine)
    cos = tl.where((quarter + 1) // 2 % 2 == 1, -cos, cos)
    return tl.where(quarter % 4 == 0, versine, 1 - cos), tl.where(quarter // 2 % 2 == 1, -sin, sin)


@triton.jit
def _loop(versine: tl.tensor, sin: tl.tensor, numbers: tl.tensor) -> tl.tuple:
    """1 - the real part, and the imaginary part, of the loop of a comb: gain / (1 - pole (cos - i sin))."""
    # |1 - pole (c - i s)|^2 = (1 - pole)^2 + 2 pole (1 - c), and over it 1 - the real part has
    # (1 - pole) (1 - pole - gain) + pole (2 - gain) (1 - c): sums of positive terms.
    scale = 1 / (tl.load(numbers) + tl.load(numbers + 1) * versine)
    return (tl.load(numbers + 2) + tl.load(numbers + 3) * versine) * scale, -tl.load(numbers + 4) * sin * scale


@triton.jit
def _inverses(a: tl.tensor, b: tl.tensor) -> tl.tuple:
    """1 / a and 1 / b by one division."""
    both = 1 / (a * b)
    return b * both, a * both


@triton.jit
def _finish(
    spectrum: tl.tensor, out: tl.tensor, allpass: tl.tensor, row: tl.tensor,
    k: tl.tensor, mask: tl.tensor, bins: tl.tensor,
    first_real: tl.tensor, first_imaginary: tl.tensor,
    second_real: tl.tensor, second_imaginary: tl.tensor,
) -> None:  # fmt: skip
    """The spectrum times the two channels, each through its all-passes."""
    at = 2 * k.to(tl.int64)
    a_real, a_imaginary = tl.load(allpass + at, mask), tl.load(allpass + at + 1, mask)
    b_real, b_imaginary = tl.load(allpass + 2 * bins + at, mask), tl.load(allpass + 2 * bins + at + 1, mask)
    real = a_real * first_real - a_imaginary * first_imaginary + (b_real * second_real - b_imaginary * second_imaginary)
    imaginary = a_real * first_imaginary + a_imaginary * first_real
    imaginary += b_real * second_imaginary + b_imaginary * second_real
    at += row * 2 * bins
    x_real, x_imaginary = tl.load(spectrum + at, mask), tl.load(spectrum + at + 1, mask)
    tl.store(out + at, x_real * real - x_imaginary * imaginary, mask)
    tl.store(out + at + 1, x_real * imaginary + x_imaginary * real, mask)


@triton.jit(do_not_specialize=["bins", "n_fft", "inverse", "shift"])
def freeverb_kernel(
    spectrum: tl.tensor, out: tl.tensor, allpass: tl.tensor, delays: tl.tensor, numbers: tl.tensor,
    bins: tl.tensor, n_fft: tl.tensor, inverse: tl.tensor, shift: tl.tensor, turn: tl.tensor,
    block: tl.constexpr, combs: tl.constexpr, wide: tl.constexpr,
) -> None:  # fmt: skip
    """Bins k and n_fft / 2 - k of one row, for ``block`` neighbouring k up to n_fft / 4."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    unsigned, n_fft = k.to(tl.uint32), n_fft.to(tl.uint32)
    inverse, shift = inverse.to(tl.uint32), shift.to(tl.uint32)
    # numbers: radius^-N - 1 of every comb, then the five of :func:`_loop`.
    numbers += row * (combs + 5)
    delays += row * combs

    # At n_fft / 2 - k the angle of a delay N is pi N less that of k: that of u^-1 has (-c, s).
    versine, sin = _phasor(unsigned, tl.full((), 1, tl.uint32), n_fft, inverse, shift, turn, wide)
    loop_missing, loop_imaginary = _loop(versine, sin, numbers + combs)
    mirror_missing, mirror_imaginary = _loop(2 - versine, sin, numbers + combs)
    mirror_real = 1 - mirror_missing
    for channel in tl.static_range(2):
        real = tl.zeros((block,), tl.float32)
        imaginary, real_there, imaginary_there = real, real, real
        for comb in tl.static_range(channel * (combs // 2), (channel + 1) * (combs // 2)):
            delay = tl.load(delays + comb).to(tl.uint32)
            growth = tl.load(numbers + comb)
            weight = 1 + growth
            versine, sin = _phasor(unsigned, delay, n_fft, inverse, shift, turn, wide)
            # A comb is u^N / (1 - loop u^N) = 1 / (u^-N - loop). At its peaks u^-N and the loop are both nearly 1, so
            # their distances from 1 are subtracted.
            x, y = growth + loop_missing - weight * versine, weight * sin - loop_imaginary
            # There (-1)^N (c - i s), at frequencies where the loop is damped and its peaks are low.
            weight = tl.where(delay % 2 == 1, -weight, weight)
            x_there, y_there = weight * (1 - versine) - mirror_real, -weight * sin - mirror_imaginary
            scale, scale_there = _inverses(x * x + y * y, x_there * x_there + y_there * y_there)
            real, imaginary = real + x * scale, imaginary - y * scale
            real_there, imaginary_there = real_there + x_there * scale_there, imaginary_there - y_there * scale_there
        if channel == 0:
            first_real, first_imaginary = real, imaginary
            there_real, there_imaginary = real_there, imaginary_there
    # n_fft / 4, where there is such a bin, is its own mirror image: it is written once.
    mask, there = k < (bins + 1) // 2, k < bins // 2
    _finish(spectrum, out, allpass, row, k, mask, bins, first_real, first_imaginary, real, imaginary)
    _finish(
        spectrum, out, allpass, row, bins - 1 - k, there, bins,
        there_real, there_imaginary, real_there, imaginary_there,
    )  # fmt: skip


def wet_spectrum(spectrum: Tensor, combs: Combs, allpass: Tensor, on: Circle) -> Tensor:
    """As :func:`clmr.augment.freeverb.wet_spectrum`: ``spectrum * sum over channels of allpass * sum of combs``.

    Args:
        spectrum: complex64, shape ``[N, K]``, K = ``on.bins``: the FFT of rows weighted by ``radius^n``.
        combs: of each row, on the host.
        allpass: complex64, shape ``[2, K]``, on the device: what the sum of each channel's combs is multiplied by.
        on: where on the z-plane the bins lie; an even number of points.

    Returns:
        complex64, shape ``[N, K]``.
    """
    rows, bins = spectrum.shape
    if on.n_fft % 2 or bins != on.bins:
        raise ConfigError(f"the reverb needs {on.bins} bins of an even number of points, got {bins} of {on.n_fft}")
    growth = torch.expm1(-math.log(on.radius) * combs.delays)
    gain, pole = combs.feedback * (1 - combs.damping), on.radius * combs.damping
    loop = [(1 - pole) ** 2, 2 * pole, (1 - pole) * (1 - pole - gain), pole * (2 - gain), gain * pole]
    shift = on.n_fft.bit_length() - 2  # 2^(32 + shift) / n_fft is then in (2^30, 2^31]
    spectrum = spectrum.contiguous()
    out = torch.empty_like(spectrum)
    # A launch takes the current device's stream, whatever the device of its tensors.
    with torch.cuda.device_of(spectrum):
        freeverb_kernel[rows, triton.cdiv((bins + 1) // 2, PAIRS)](
            torch.view_as_real(spectrum),
            torch.view_as_real(out),
            torch.view_as_real(allpass.contiguous()),
            send(combs.delays.int(), spectrum.device),
            send(torch.cat([growth, torch.stack(loop, dim=1)], dim=1).float(), spectrum.device),
            bins,
            on.n_fft,
            min(2 ** (32 + shift) // on.n_fft, 2**31 - 1),
            shift,
            math.pi / 2 / on.n_fft,
            block=PAIRS,
            combs=COMBS,
            wide=4 * bins * int(combs.delays.max()) >= 2**32,
            num_warps=WARPS,
        )
    return out
