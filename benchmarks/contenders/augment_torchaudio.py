"""What torchaudio has of the effects: batched where it takes a parameter per row, else row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchaudio.functional as F
from torch import Tensor

from benchmarks.contenders.augment_crops import SAMPLE_RATE, Effects, load_crops, only
from benchmarks.contenders.augment_running import in_batches

VIEWS = 16  # of a batch
EFFECTS = ("polarity", "noise", "gain", "filter", "pitch", "reverb")
WAV_HEADER = 44  # bytes
STEP = 21  # pitch_shift resamples with a weight for each sample of the ratio's period, so the ratios are k / 21
RATIOS = range(16, 29)  # within +-5 semitones


def add_noise(audio: Tensor) -> Tensor:
    """White noise at 80 dB."""
    rows = audio[:, 0]
    noisy: Tensor = F.add_noise(rows, torch.randn_like(rows), torch.full((len(rows),), 80.0))
    return noisy[:, None]


def gain(audio: Tensor) -> Tensor:
    """-6 to 0 dB, a row at a time."""
    return torch.stack([F.gain(row, float(db)) for row, db in zip(audio, -6 * torch.rand(len(audio)), strict=True)])


def one_filter(audio: Tensor) -> Tensor:
    """First-order low-pass or high-pass by coin flip: lfilter with coefficients for each row."""
    rows = len(audio)
    high, unit = torch.rand(rows) < 0.5, torch.rand(rows)
    hz = torch.where(high, 200 + 1000 * unit, 2200 + 1800 * unit)
    c = torch.tan(math.pi * hz / SAMPLE_RATE - math.pi / 4)
    sign = torch.where(high, -1.0, 1.0)
    b = (1 + sign * c) / 2
    ahead, back = torch.stack([b, sign * b], dim=1), torch.stack([torch.ones(rows), c], dim=1)
    filtered: Tensor = F.lfilter(audio[:, 0], back, ahead, clamp=False, batching=True)
    return filtered[:, None]


def pitch(audio: Tensor) -> Tensor:
    """A phase vocoder and resampling, a row at a time."""
    steps = [12 * math.log2(RATIOS[int(pick)] / STEP) for pick in torch.randint(len(RATIOS), (len(audio),))]
    # A little more, so that the rate, which it rounds down, is a multiple of 22050 / 21.
    return torch.stack([F.pitch_shift(row, SAMPLE_RATE, step + 1e-6) for row, step in zip(audio, steps, strict=True)])


def reverb_with(responses: str) -> Callable[[Tensor], Tensor]:
    """Convolution with one of the responses for each row."""
    paths = sorted(Path(responses).glob("*.wav"))
    pcm = [np.fromfile(path, dtype="<i2", offset=WAV_HEADER).astype(np.float32) / 2**15 for path in paths]

    def reverb(audio: Tensor) -> Tensor:
        length = audio.shape[2]
        picks = torch.randint(len(pcm), (len(audio),)).tolist()
        rows = [F.fftconvolve(row, torch.from_numpy(pcm[pick])[None]) for row, pick in zip(audio, picks, strict=True)]
        return torch.stack([row[:, :length] for row in rows])

    return reverb


def views(crops: str, effects: Effects, responses: str, threads: int = 1, workers: int = 0) -> Iterator[int]:
    """torchaudio.functional on batches of 16, on the rows whose gate is open.

    A minus sign, add_noise and lfilter (batching=True, the paper's first-order filters) work on all rows at once; gain,
    pitch_shift and fftconvolve take one parameter a call, so they work row by row. pitch_shift takes seconds for most
    ratios, so only ratios k / 21 are drawn, which are its fastest. fftconvolve with 32 ready-made responses of noise,
    kept in memory, stands for the reverb that torchaudio does not have; nor has it a delay.
    """
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "polarity": torch.neg,
        "noise": add_noise,
        "gain": gain,
        "filter": one_filter,
        "pitch": pitch,
        "reverb": reverb_with(responses),
    }
    kept = only(effects, EFFECTS)

    def apply(audio: Tensor) -> Tensor:
        for name, probability in kept.items():
            rows = (torch.rand(len(audio)) < probability).nonzero().flatten()
            if len(rows):
                audio[rows] = known[name](audio[rows])
        return audio

    return in_batches(load_crops(crops), apply, kept, batch=VIEWS, threads=threads, workers=workers)
