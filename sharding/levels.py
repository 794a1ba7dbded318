"""How loud a track is, half second by half second, so that crops can avoid silence without reading audio.

One byte per ``sample_rate // 2`` samples; the rest at the end, shorter, has one too. With the block's mean square in
units of full scale, power = (sum of x^2) / (n * 32768^2), its level is 10 log10(power) dBFS and its byte

    byte = round(2 * -level), clipped to 0 .. 255

so 0 is full scale (a square wave; a sine reaches 6), every step is 0.5 dB less, and 255 is less than -127.25 dB: zeros.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt

FULL_SCALE = 32768
SILENCE = 255
"""Level of a block of zeros."""
AT_ONCE = 8  # blocks: what a processor's cache holds as float64

# The byte is above k where the power is below 10^(-(k + 1/2) / 20). The bounds are rounded from decimals, and compared
# with a quotient of exact numbers: every machine gives the same bytes.
_BOUNDS = np.array([float(Decimal(10) ** (Decimal(-(2 * k + 1)) / 40)) for k in reversed(range(SILENCE))])


def level_frames(sample_rate: int) -> int:
    """Samples that share a level."""
    return sample_rate // 2


def level_counts(frames: npt.NDArray[np.int64], sample_rate: int) -> npt.NDArray[np.int64]:
    """Levels of tracks of so many samples, in the same shape."""
    return -(-frames // level_frames(sample_rate))


def measure_levels(pcm: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """The levels of a track, or of a part of one that begins where a level does.

    Args:
        pcm: int16, shape ``[N]``.
        sample_rate: Hz.
    """
    block = level_frames(sample_rate)
    whole = pcm[: len(pcm) // block * block].reshape(-1, block)
    rest = pcm[whole.size :]
    energy = np.empty(len(whole))
    scratch = np.empty((min(AT_ONCE, len(whole)), block))
    for begin in range(0, len(whole), AT_ONCE):
        part = whole[begin : begin + AT_ONCE]
        samples = scratch[: len(part)]
        np.copyto(samples, part)
        # Sums of squares of integers are exact in float64 below 2^53, in any order: 2^23 samples of full scale.
        np.einsum("ij,ij->i", samples, samples, out=energy[begin : begin + len(part)])
    power = energy / (block * FULL_SCALE**2)
    if len(rest):
        samples = rest.astype(np.float64)
        power = np.append(power, np.einsum("i,i->", samples, samples) / (len(rest) * FULL_SCALE**2))
    return bytes((SILENCE - np.searchsorted(_BOUNDS, power, side="right")).astype(np.uint8))
