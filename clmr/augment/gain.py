"""Gain reduction (paper section B.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_probability, check_range
from clmr.augment.send import send


def gain(audio: Tensor, db: Tensor) -> Tensor:
    """Scale each row's amplitude by ``10^(db / 20)``.

    Args:
        audio: shape ``[N, 1, T]``.
        db: gain of each row in decibels, shape ``[N]``, on the host (values on a device are fetched, a wait).
    """
    factor = (10 ** (db.cpu().double() / 20)).to(audio.dtype)
    return audio * send(factor, audio.device)[:, None, None]


@dataclass(frozen=True)
class Gain:
    """Changes the level by a uniform number of decibels."""

    name: ClassVar[str] = "gain"

    probability: float = 0.3
    """Share of the rows changed, in [0, 1]."""

    db: tuple[float, float] = (-6.0, 0.0)
    """Lowest and highest gain in decibels."""

    clamp: bool = False
    """Clip to +-1 afterwards, as torchaudio's ``Vol`` does for the authors' code."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("gain.db", self.db)

    def draw(self, keys: Tensor) -> Columns:
        """``db``: float64."""
        low, high = self.db
        return {"db": low + (high - low) * draw.uniform(keys, "gain.db")}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`gain`."""
        louder = gain(audio, columns["db"])
        return louder.clamp_(-1, 1) if self.clamp else louder
