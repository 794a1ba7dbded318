"""Gain reduction (paper section B.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import (
    MOST_DB,
    Columns,
    check_audio,
    check_decibels,
    check_probability,
    check_range,
)
from clmr.augment.send import send


def gain(audio: Tensor, db: Tensor) -> Tensor:
    """Scale each row's amplitude by ``10^(db / 20)``.

    Args:
        audio: shape ``[N, 1, T]``, float32 or float64.
        db: gain of each row in decibels, within +-700, shape ``[N]``, on the host (values on a device are fetched, a
            wait).

    Raises:
        ConfigError: a shape, a dtype or a gain is not one of these.
    """
    check_audio(audio, "gain")
    factor = (10 ** (check_decibels("db", db, len(audio)) / 20)).to(audio.dtype)
    return audio * send(factor, audio.device)[:, None, None]


@dataclass(frozen=True)
class Gain:
    """Changes the level by a uniform number of decibels."""

    name: ClassVar[str] = "gain"

    probability: float = 0.3
    """Share of the rows changed, in [0, 1]."""

    db: tuple[float, float] = (-6.0, 0.0)
    """Lowest and highest gain in decibels, within +-700."""

    clamp: bool = False
    """Clip to +-1 afterwards, as torchaudio's ``Vol`` does for the authors' code."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("gain.db", self.db, -MOST_DB, MOST_DB)

    def draw(self, keys: Tensor) -> Columns:
        """``db``: float64."""
        low, high = self.db
        return {"db": low + (high - low) * draw.uniform(keys, "gain.db")}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`gain`."""
        louder = gain(audio, columns["db"])
        return louder.clamp_(-1, 1) if self.clamp else louder
