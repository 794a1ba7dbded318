"""One echo (paper section B.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_probability, check_range
from clmr.errors import ConfigError


def delay(audio: Tensor, frames: Tensor, volume: float = 0.5) -> Tensor:
    """``(x[n] + volume x[n - frames]) / 2`` with zeros before the first sample, as in the paper's listing.

    Args:
        audio: shape ``[N, 1, T]``.
        frames: delay of each row in samples, int64, >= 0, shape ``[N]``. At T or more the echo falls outside and
            half the signal is left.
        volume: amplitude of the echo.

    Returns:
        Audio with its echo, shape ``[N, 1, T]``.
    """
    source = torch.arange(audio.shape[2], device=audio.device) - frames[:, None, None]
    echo = audio.gather(2, source.clamp(min=0)).masked_fill(source < 0, 0)
    return (audio + volume * echo) / 2


@dataclass(frozen=True)
class Delay:
    """Adds one echo at half the volume, at a multiple of the step."""

    name: ClassVar[str] = "delay"

    probability: float = 0.4
    """Share of the rows with an echo, in [0, 1]."""

    ms: tuple[int, int] = (200, 500)
    """Shortest and longest delay in milliseconds, both possible."""

    step_ms: int = 50
    """Milliseconds between possible delays, >= 1."""

    volume: float = 0.5
    """Amplitude of the echo."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("delay.ms", self.ms, lowest=0)
        if self.step_ms < 1 or (self.ms[1] - self.ms[0]) % self.step_ms:
            raise ConfigError(f"delay.step_ms must divide the range {self.ms}, got {self.step_ms}")

    def draw(self, keys: Tensor) -> Columns:
        """``ms``: int64."""
        low, high = self.ms
        choices = (high - low) // self.step_ms + 1
        return {"ms": low + self.step_ms * (draw.uniform(keys, "delay.ms") * choices).long()}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`delay`; a fraction of a sample is cut off, as in the listing."""
        return delay(audio, columns["ms"] * sample_rate // 1000, self.volume)
