"""Mel spectrograms in decibels, their axis of frequency, and their picture in one scale of colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from clmr.augment.listen.png import palette_png

WINDOW = 2048  # samples of each spectrum
BANDS = 96
LOWEST_HZ = 40.0
RANGE_DB = 80.0
LEVELS = 65  # of colour in a bare picture
COLOURS = "magma"
MARKS_HZ = (200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True)
class Scale:
    """Decibels at the ends of the scale of colour; they are against a full-scale sine."""

    top: float

    @property
    def bottom(self) -> float:
        """The darkest colour, also of what is quieter."""
        return self.top - RANGE_DB


class Spectrograms:
    """Power in mel bands over time."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._mel = MelSpectrogram(sample_rate, n_fft=WINDOW, hop_length=256, n_mels=BANDS, f_min=LOWEST_HZ)

    def __call__(self, audio: Tensor) -> Tensor:
        """Decibels against a full-scale sine.

        Args:
            audio: float32, shape ``[..., T]``.

        Returns:
            Shape ``[..., 96, columns]``, lowest band first.
        """
        # A full-scale sine has the power (sum of the Hann window / 2)^2 = (WINDOW / 4)^2 in its bin.
        power = self._mel(audio) / (WINDOW / 4) ** 2
        return 10 * torch.log10(power.clamp(min=1e-16))

    def height(self, hz: float) -> float:
        """Where a frequency lies between the lower edge, 0, and the upper edge, 1, of a picture."""
        low, at, high = (mel(value) for value in (LOWEST_HZ, hz, self.sample_rate / 2))
        return (at - low) / (high - low)

    def marks(self) -> list[tuple[float, str]]:
        """Heights and names of the frequencies on the axis."""
        shown = (hz for hz in MARKS_HZ if hz < 0.95 * self.sample_rate / 2)
        return [(self.height(hz), f"{hz / 1000:g}k" if hz >= 1000 else f"{hz}") for hz in shown]


def mel(hz: float) -> float:
    """The scale of MelSpectrogram's default bands."""
    # mel = 2595 log10(1 + f / 700)
    return 2595 * math.log10(1 + hz / 700)


def scale_of(before: Tensor) -> Scale:
    """The scale in which the recording, and all that is made of it, is drawn: from its loudest band down."""
    return Scale(top=5 * math.ceil(before.max().item() / 5))


def bare_picture(decibels: Tensor, scale: Scale) -> bytes:
    """A PNG of one pixel per band and column, in steps of 1.25 dB, finer than can be seen.

    Args:
        decibels: shape ``[bands, columns]``.
        scale: of its colours.
    """
    from matplotlib import colormaps

    levels = ((decibels - scale.bottom) / RANGE_DB * (LEVELS - 1)).round().clamp(0, LEVELS - 1)
    colours = colormaps[COLOURS](np.linspace(0, 1, LEVELS), bytes=True)[:, :3]
    return palette_png(levels.flip(0).to(torch.uint8).numpy(), [(int(r), int(g), int(b)) for r, g, b in colours])
