"""Additive white Gaussian noise at a signal-to-noise ratio (paper section B.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import (
    MOST_DB,
    Columns,
    check_audio,
    check_decibels,
    check_parameter,
    check_probability,
    check_range,
)
from clmr.augment.send import send


def add_noise(audio: Tensor, snr_db: Tensor, keys: Tensor, around_mean: bool = False) -> Tensor:
    """Add white Gaussian noise that is a function of the row's key alone.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        snr_db: power of the row over the power of its noise, in decibels, within +-700, shape ``[N]``, on the host
            (values on a device are fetched, a wait).
        keys: int64 draw keys, shape ``[N]``, on the host too.
        around_mean: the power of the row is that of its departure from its mean, its variance: a constant offset
            brings no noise.

    Returns:
        Noisy audio, shape ``[N, 1, T]``; digital silence stays silent (its signal-to-noise ratio fixes no level).

    Raises:
        ConfigError: a shape, a dtype or a ratio is not one of these.
    """
    check_audio(audio, "add_noise")
    snr_db = check_decibels("snr_db", snr_db, len(audio))
    keys = check_parameter("keys", keys, len(audio), torch.int64)
    length = audio.shape[2]
    signal = audio - audio.mean(dim=2, keepdim=True, dtype=torch.float64) if around_mean else audio
    # SNR = 20 log10(rms(signal) / sigma)  =>  sigma = rms(signal) 10^(-SNR / 20), rms = |signal| / sqrt(T)
    ratio = 10 ** (-snr_db / 20) / math.sqrt(length)
    norm = torch.linalg.vector_norm(signal, dim=2, keepdim=True, dtype=torch.float64)
    sigma = (norm * send(ratio, audio.device)[:, None, None]).to(audio.dtype)
    samples = draw.normal(send(keys, audio.device), "noise.samples", length)[:, None]
    return torch.addcmul(audio, sigma, samples.to(audio.dtype))


@dataclass(frozen=True)
class Noise:
    """Adds white noise far below the signal."""

    name: ClassVar[str] = "noise"

    probability: float = 0.01
    """Share of the rows made noisy, in [0, 1]."""

    snr_db: tuple[float, float] = (80.0, 80.0)
    """Lowest and highest signal-to-noise ratio in decibels, within +-700. Between them the noise's amplitude, not its
    decibels, is uniform, as in the authors' code."""

    around_mean: bool = False
    """Measure the signal around its mean, as the standard deviation of the authors' code does; else its whole power,
    the signal-to-noise ratio of the paper. They differ where the recording has a constant offset."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("noise.snr_db", self.snr_db, -MOST_DB, MOST_DB)

    def draw(self, keys: Tensor) -> Columns:
        """``snr_db``: float64; ``key``: int64, what the samples of the noise are drawn from."""
        loud, quiet = (10 ** (-snr / 20) for snr in self.snr_db)
        amplitude = quiet + (loud - quiet) * draw.uniform(keys, "noise.snr_db")
        # At the very bound, log10 may round beyond it.
        return {"snr_db": (-20 * torch.log10(amplitude)).clamp(-MOST_DB, MOST_DB), "key": keys}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`add_noise`."""
        return add_noise(audio, columns["snr_db"], columns["key"], self.around_mean)
