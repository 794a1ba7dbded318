"""Music-like audio, made without any file: what checks and measurements are fed with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 22050  # Hz


def music(rows: int, frames: int, seed: int = 0) -> Tensor:
    """Three tones and noise in every row, no two alike: float32 in +-1, shape ``[rows, 1, frames]``, on the CPU.

    Loudness and noise differ by 20 dB from row to row: of rows that are alike, batch norm leaves rounding errors.
    """
    generator = torch.Generator().manual_seed(seed)
    hz = 100 + 1900 * torch.rand(rows, 3, 1, generator=generator)
    n = torch.arange(frames) / SAMPLE_RATE
    audio: Tensor = torch.full((rows, frames), 0.0)
    for tone in range(3):
        audio += 0.15 * torch.sin(2 * math.pi * hz[:, tone] * n)
    loudness, noise = torch.pow(10, -torch.rand(2, rows, 1, generator=generator))
    audio = loudness * audio + 0.2 * noise * torch.randn(rows, frames, generator=generator)
    return audio.clamp_(-1, 1).unsqueeze(1)


def crops(pairs: int, frames: int, seed: int = 0) -> Tensor:
    """The same as 16-bit crops, shape ``[pairs, 2, frames]``."""
    return (music(2 * pairs, frames, seed) * 32767).round().to(torch.int16).view(pairs, 2, frames)


def draw_keys(pairs: int, number: int = 0) -> Tensor:
    """Draw keys of a batch, int64 ``[pairs, 2]``, on the host."""
    from clmr import draw

    keys = draw.make_keys(0, number, range(pairs), (0, 1))
    return torch.from_numpy(keys.copy()).view(pairs, 2)
