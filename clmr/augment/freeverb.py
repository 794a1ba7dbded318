"""Sox's ``reverb`` (Freeverb: 8 comb filters, then 4 all-passes, for each of 2 channels) as a transfer function.

Algorithm and constants: Jezar at Dreampoint's Freeverb with the parameter mapping of sox 14.4.2's ``reverb``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from clmr.augment.fft_length import fast_length
from clmr.augment.send import send

COMB_DELAYS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)  # samples at 44,100 Hz, in the largest room
ALLPASS_DELAYS = (225, 341, 441, 556)  # samples at 44,100 Hz, in any room
STEREO_SPREAD = 12  # samples at 44,100 Hz by which the filters of the second channel are longer, shorter, longer, ...
WET_GAIN = 0.015
CHANNELS = 2
COMBS = len(COMB_DELAYS)

# What wraps around the FFT falls by so many decibels, and rounding near the end of a row grows by nearly as many. With
# float32 and an FFT a fifth longer than the row, this keeps both 83 dB or more below the output for music and noise and
# 78 dB for fades, constants, square waves and clicks at either end, in all corners of the parameters. Steady tones on a
# resonance are the exception: what wraps is 75 dB below them in the largest room, and in the smallest, the rounding of
# the few bins that they lie in 64 dB (81 dB in the kernel, whose rounding is less there).
ALIAS_DB = {torch.float32: 79.0, torch.float64: 160.0}
FFT_OVER_ROW = 1.2


@dataclass(frozen=True)
class Combs:
    """The comb filters of each row, on the host: ``z^-D / (1 - feedback g z^-D)``, g a low-pass of one pole."""

    delays: Tensor
    """D in samples, int64, shape ``[N, 16]``: the 8 combs of the first channel, then those of the second."""

    feedback: Tensor
    """Gain of the loop at 0 Hz, 0.3 to 0.98, float64, shape ``[N]``."""

    damping: Tensor
    """Pole p of ``g = (1 - p) / (1 - p z^-1)``, 0.2 to 0.5, float64, shape ``[N]``."""

    def of_channel(self, channel: int) -> Combs:
        """Those of channel 0 or 1 alone, delays of shape ``[N, 8]``."""
        return replace(self, delays=self.delays[:, channel * COMBS : (channel + 1) * COMBS])


def comb_parameters(reverberance: Tensor, damping: Tensor, room_scale: Tensor, sample_rate: int) -> Combs:
    """Sox's three percentages as the numbers that its comb filters run with.

    Args:
        reverberance: percent, 0 to 100, shape ``[N]``: how slowly the echoes die away.
        damping: percent, 0 to 100, shape ``[N]``: how much faster the highs die away than the lows.
        room_scale: percent, 0 to 100, shape ``[N]``: length of the delays.
        sample_rate: samples per second.
    """
    # 1 - feedback falls exponentially with the reverberance, from 1 - 0.3 at 0 to 1 - 0.98 at 100.
    a = -1 / math.log(1 - 0.3)
    b = 100 / (math.log(1 - 0.98) * a + 1)
    feedback = 1 - torch.exp((reverberance.double() - b) / (a * b))
    # The products are taken in sox's order: a delay that falls halfway between two samples rounds as it does there.
    scale = (room_scale.double() / 100 * 0.9 + 0.1) * (sample_rate * (1 / 44100))
    lengths = torch.tensor(_spread(COMB_DELAYS, 1), dtype=torch.float64, device="cpu").flatten()
    delays = (scale[:, None] * lengths + 0.5).long()
    return Combs(delays, feedback, damping.double() / 100 * 0.3 + 0.2)


def allpass_delays(sample_rate: int) -> tuple[tuple[int, ...], ...]:
    """Samples of delay of the 4 all-passes of each of the 2 channels."""
    rate = sample_rate * (1 / 44100)
    sign = (-1) ** COMBS  # the signs of the spread go on from the combs
    return tuple(tuple(int(rate * length + 0.5) for length in row) for row in _spread(ALLPASS_DELAYS, sign))


def _spread(lengths: tuple[int, ...], sign: int) -> tuple[tuple[int, ...], ...]:
    """The lengths of the first channel and, spread with alternating signs, of the second."""
    return lengths, tuple(length + sign * (-1) ** i * STEREO_SPREAD for i, length in enumerate(lengths))


@dataclass(frozen=True)
class Circle:
    """The points ``z^-1 = radius exp(-2j pi k / n_fft)``, k = 0 to n_fft / 2, at which a transfer function is sampled.

    A signal weighted by radius^n before the FFT and by radius^-n after it meets the same filter as without, but what
    wraps around the FFT comes out multiplied by radius^n_fft. So a response far longer than the FFT does no harm.
    """

    n_fft: int
    """Length of the FFT, even."""

    radius: float
    """Distance of the points from 0, at most 1."""

    @property
    def bins(self) -> int:
        """Number of points."""
        return self.n_fft // 2 + 1

    def power(self, delay: int | Tensor, bins: Tensor) -> Tensor:
        """``z^-delay`` at the points of the given numbers, complex128; delay and bins are integers and broadcast."""
        turns = (delay * bins % self.n_fft).double() / self.n_fft
        size = self.radius ** torch.as_tensor(delay, dtype=torch.float64, device=bins.device)
        return torch.polar(size.expand_as(turns).contiguous(), -2 * math.pi * turns)


@lru_cache(maxsize=64)
def circle(frames: int, sample_rate: int, dtype: torch.dtype) -> Circle:
    """The circle for rows of ``frames`` samples; its FFT is fast.

    Args:
        frames: samples of a row, T.
        sample_rate: samples per second.
        dtype: of the audio, float32 or float64.
    """
    # Four times the longest delay D or more, so that radius^-D stays small.
    longest = (COMB_DELAYS[-1] + STEREO_SPREAD) * sample_rate / 44100
    n_fft = fast_length(math.ceil(max(FFT_OVER_ROW * frames, 4 * longest)))
    return Circle(n_fft, 10 ** (-ALIAS_DB[dtype] / 20 / n_fft))


def allpass_response(sample_rate: int, on: Circle) -> Tensor:
    """What follows the combs: the product of each channel's all-passes times the wet gain, over the channels averaged.

    Freeverb's all-pass is ``(1.5 z^-D - 1) / (1 - 0.5 z^-D)``, which is not quite one.

    Returns:
        complex128, shape ``[2, on.bins]``, on the host.
    """
    with torch.inference_mode(mode=False):
        bins = torch.arange(on.bins, device="cpu")
        response = torch.full((CHANNELS, on.bins), WET_GAIN / CHANNELS, dtype=torch.complex128, device="cpu")
        for channel, delays in enumerate(allpass_delays(sample_rate)):
            for delay in delays:
                power = on.power(delay, bins)
                response[channel] *= (1.5 * power - 1) / (1 - 0.5 * power)
        return response


# Bins k = PLANE_WIDTH a + b stand in a plane of rows a and columns b, because e^(j angle k) of all of them is then the
# outer product of two short tables. Real and imaginary parts have planes of their own: division is slow in complex.
PLANE_WIDTH = 256
PLANE_BYTES = 150_000  # the ten planes in use then stay in a core's second-level cache
DEVICE_BLOCK = 32  # rows at a time where launches decide, not the cache


def wet_spectrum(spectrum: Tensor, combs: Combs, allpass: Tensor, on: Circle) -> Tensor:
    """The reverberation alone, without the dry signal: ``spectrum * sum over channels of allpass * sum of combs``.

    Args:
        spectrum: complex, shape ``[N, K]``, K = ``on.bins``: the FFT of rows weighted by ``radius^n``. No gradients.
        combs: of each row, on the host; of both channels, or the 8 of one (see :meth:`Combs.of_channel`).
        allpass: :func:`allpass_response` with the dtype and on the device of the spectrum, shape ``[2, K]``, or
            ``[1, K]`` for one channel.
        on: where on the z-plane the bins lie.

    Returns:
        Complex, shape ``[N, K]``.
    """
    dtype, device = allpass.real.dtype, allpass.device
    count, height = len(combs.delays), -(-on.bins // PLANE_WIDTH)
    tables = [send(table, device) for table in _tables(combs, height, on, dtype)]
    gains = send((-combs.feedback * (1 - combs.damping)).to(dtype)[:, None, None], device)
    after = allpass.new_zeros(len(allpass), height * PLANE_WIDTH)
    after[:, : on.bins] = allpass
    # For each channel: the parts (a, b) of its response and (b, -a).
    afters = torch.stack([after.real, after.imag, after.imag, -after.real], dim=1).view(-1, 2, 1, height, PLANE_WIDTH)

    block = DEVICE_BLOCK
    if device.type == "cpu":
        block = torch.get_num_threads() * max(1, PLANE_BYTES // (height * PLANE_WIDTH * dtype.itemsize))
    block = min(block, count)
    out = torch.empty_like(spectrum)
    work = afters.new_empty(9, block, height, PLANE_WIDTH)
    transfer = allpass.new_empty(block, height, PLANE_WIDTH)
    for first in range(0, count, block):
        rows = slice(first, min(first + block, count))
        planes = work[:, : rows.stop - first]
        size, loop, parts, total, wet = planes[0], planes[1:3], planes[3:5], planes[5:7], planes[7:]
        x, y = parts
        factors = [table[:, :, rows].unbind() for table in tables]
        *outer, damped = zip(*factors, strict=True)

        # The loop's feedback g = gain / e, and ``damped`` makes conj(e) - 1. Kept is - g = - gain conj(e) / |e|^2.
        loop[0].fill_(1)
        loop[1].zero_()
        _add_outer(loop, damped, parts)
        torch.mul(x, x, out=size).addcmul_(y, y)
        torch.mul(parts, torch.div(gains[rows], size, out=size), out=loop)

        wet.zero_()
        for channel in range(len(allpass)):
            total.zero_()
            for comb in outer[channel * COMBS : (channel + 1) * COMBS]:
                # z^-D / (1 - g z^-D) = 1 / (z^D - g) = (x - j y) / (x^2 + y^2)
                _add_outer(loop, comb, parts)
                torch.mul(x, x, out=size).addcmul_(y, y)
                total.addcdiv_(parts, size)
            # (a + j b) (x - j y) = (a x + b y) + j (b x - a y)
            wet.addcmul_(afters[2 * channel], total[0]).addcmul_(afters[2 * channel + 1], total[1])
        here = transfer[: rows.stop - first]
        torch.complex(wet[0], wet[1], out=here)
        torch.mul(spectrum[rows], here.view(len(here), -1)[:, : on.bins], out=out[rows])
    return out


def _tables(combs: Combs, height: int, on: Circle, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factors of ``z^D`` for every comb and, last, of ``- damping z^-1`` conjugated.

    Returns:
        The coarse factor's real and imaginary part, each ``[17, 1, N, height, 1]``; the fine factor's parts (c, s) and
        (-s, c), each ``[17, 2, N, 1, PLANE_WIDTH]``; on the host. Of one channel 9 instead of 17.
    """
    # In float64 a whole number of steps of 2 pi / n_fft is right to 1e-12, without a reduction to one turn.
    delays = combs.delays.T.double()
    steps = torch.cat([delays, torch.ones_like(delays[:1])])[:, None, :, None, None] * (2 * math.pi / on.n_fft)
    sizes = torch.cat([on.radius**-delays, -on.radius * combs.damping[None]])[:, None, :, None, None]
    coarse = steps * (PLANE_WIDTH * torch.arange(height, device="cpu"))[:, None]
    fine = steps * torch.arange(PLANE_WIDTH, device="cpu")
    cos, sin = fine.cos().to(dtype), fine.sin().to(dtype)
    return (
        (sizes * coarse.cos()).to(dtype),
        (sizes * coarse.sin()).to(dtype),
        torch.cat([cos, sin], dim=1),
        torch.cat([-sin, cos], dim=1),
    )


def _add_outer(start: Tensor, factors: tuple[Tensor, ...], out: Tensor) -> None:
    """``out = start + coarse fine``, the complex outer product of two factors; real and imaginary parts stacked."""
    coarse_real, coarse_imag, fine, fine_turned = factors
    torch.addcmul(start, coarse_real, fine, out=out).addcmul_(coarse_imag, fine_turned)
