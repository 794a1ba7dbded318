"""A piece of music to try effects on: chords of plucked notes with overtones, a bass, a beat of noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def music(seed: int, sample_rate: int, frames: int) -> Tensor:
    """float32 within +-0.7, ``[1, 1, frames]``."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(16, 4, generator=generator, dtype=torch.float64).tolist()
    time = torch.arange(frames, dtype=torch.float64) / sample_rate
    x = torch.zeros(frames, dtype=torch.float64)
    for height, when, decay, phase in draws:
        hz, begin = 55 * 2 ** (4 * height), 0.8 * when * frames / sample_rate
        since = (time - begin).clamp(min=0)
        overtones = [k for k in range(1, 9) if k * hz < sample_rate / 2]
        note = torch.stack([torch.sin(2 * math.pi * (k * hz * since + phase)) / k for k in overtones]).sum(dim=0)
        x += note * torch.exp(-(1 + 3 * decay) * since) * (time >= begin)
    beat = torch.exp(-30 * (time % 0.25)) * torch.randn(frames, generator=generator, dtype=torch.float64)
    x += 0.2 * beat
    return (0.7 * x / x.abs().max()).float().view(1, 1, -1)
