"""One echo (paper section B.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_audio, check_parameter, check_probability, check_range
from clmr.augment.send import send
from clmr.errors import ConfigError

LOUDEST = 1000.0  # amplitude of an echo: far beyond sense, and far from what float32 cannot hold


def delay(audio: Tensor, frames: Tensor, volume: float = 0.5) -> Tensor:
    """``(x[n] + volume x[n - frames]) / 2`` with zeros before the first sample, as in the paper's listing.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        frames: delay of each row in samples, int64, >= 0, shape ``[N]``, on the host (values on a device are
            fetched, a wait). At T or more the echo falls outside and half the signal is left.
        volume: amplitude of the echo, within +-1000.

    Returns:
        Audio with its echo, shape ``[N, 1, T]``.

    Raises:
        ConfigError: a shape or a dtype is not one of these, a delay is negative, or the volume is beyond its range.
    """
    check_audio(audio, "delay")
    _check_volume("volume", volume)
    frames = check_parameter("frames", frames, len(audio), torch.int64)
    if bool((frames < 0).any()):
        raise ConfigError(f"delays must be 0 samples or more, got {frames.min()}; an echo cannot come first")
    # Rows of one delay shift together: there are few delays, and no sample needs an index of its own.
    order = frames.argsort(stable=True)
    delays, counts = frames[order].unique_consecutive(return_counts=True)
    groups = send(order, audio.device).split(counts.tolist())
    echoed = audio / 2
    for shift, rows in zip(delays.tolist(), groups, strict=True):
        if shift < audio.shape[2]:
            source = audio[:, :, : audio.shape[2] - shift].index_select(0, rows)
            echoed[:, :, shift:].index_add_(0, rows, source, alpha=volume / 2)
    return echoed


def _check_volume(name: str, volume: float) -> None:
    if not abs(volume) <= LOUDEST:
        raise ConfigError(f"{name} must be within +-{LOUDEST:g}, got {volume}")


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
    """Amplitude of the echo, within +-1000."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("delay.ms", self.ms, lowest=0)
        _check_volume("delay.volume", self.volume)
        if not all(isinstance(value, int) for value in (*self.ms, self.step_ms)):
            raise ConfigError(f"delay.ms and delay.step_ms must be whole numbers, got {self.ms} and {self.step_ms}")
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
