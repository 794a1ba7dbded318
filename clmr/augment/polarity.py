"""Polarity inversion (paper section B.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clmr.augment.augmentation import Columns, check_audio, check_probability


def invert_polarity(audio: Tensor) -> Tensor:
    """``-audio``.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.

    Raises:
        ConfigError: the audio has another shape or dtype.
    """
    check_audio(audio, "invert_polarity")
    return -audio


@dataclass(frozen=True)
class Polarity:
    """Turns the waveform upside down."""

    name: ClassVar[str] = "polarity"

    probability: float = 0.8
    """Share of the rows inverted, in [0, 1]."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)

    def draw(self, keys: Tensor) -> Columns:  # nothing to draw
        """No parameters."""
        return {}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`invert_polarity`."""
        return invert_polarity(audio)
