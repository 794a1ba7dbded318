"""Signals that are hard on filters and effects, and what the tests ask of their answers."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

RATES = (22050, 16000, 8000)


def tone(hz: float, sample_rate: int, frames: int) -> Tensor:
    """A float64 sine, ``[1, 1, frames]``."""
    return torch.sin(2 * math.pi * hz * torch.arange(frames, dtype=torch.float64) / sample_rate).view(1, 1, -1)


def noise(rows: int, frames: int, seed: int = 0) -> Tensor:
    """White noise of uneven level, float32, ``[rows, 1, frames]``, within +-1."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.linspace(0.1, 1, rows)[:, None, None]
    return level * (2 * torch.rand(rows, 1, frames, generator=generator) - 1)


def extremes(frames: int) -> Tensor:
    """Silence, full-scale DC, a square wave, clicks at both ends, the Nyquist tone, a denormal: ``[6, 1, frames]``."""
    n = torch.arange(frames)
    click = torch.zeros(frames)
    click[0], click[-1] = 1, -1
    rows = [
        torch.zeros(frames),
        torch.ones(frames),
        torch.where(n // 50 % 2 == 0, 1.0, -1.0),
        click,
        torch.where(n % 2 == 0, 1.0, -1.0),
        torch.full((frames,), 1e-40),
    ]
    return torch.stack(rows)[:, None]


def level_db(audio: Tensor) -> float:
    """RMS level in decibels."""
    return 10 * math.log10(audio.double().square().mean().item())


def relative_error(got: Tensor, expected: Tensor | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Largest difference over the largest expected magnitude."""
    expected = torch.as_tensor(expected)
    return ((got.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()


def sox(audio: Tensor, sample_rate: int, folder: Path, *effect: str) -> Tensor:
    """What the sox program makes of one row ``[1, 1, T]``; by way of 32-bit float files."""
    source, result = folder / "in.wav", folder / "out.wav"
    soundfile.write(source, audio[0, 0].numpy(), sample_rate, subtype="FLOAT")
    subprocess.run(["sox", "-V1", "-D", source, result, *effect], check=True)
    return torch.from_numpy(soundfile.read(result, dtype="float64")[0]).view(1, 1, -1)
