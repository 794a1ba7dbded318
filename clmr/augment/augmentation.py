"""What every augmentation is: ranges to draw from, a draw for each row, and a pure function of audio and the draws."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from clmr.errors import ConfigError

Columns = dict[str, Tensor]
"""Parameter name -> one value per row, shape ``[N]``."""


class Augmentation(Protocol):
    """A frozen dataclass of ranges with these members."""

    name: ClassVar[str]
    """Prefix of its columns in a chain's table and of its streams of draws."""

    @property
    def probability(self) -> float:
        """Share of the rows it is applied to, in [0, 1]."""
        ...

    def draw(self, keys: Tensor) -> Columns:
        """The parameters of each row, from its int64 draw key; shape ``[N]`` each."""
        ...

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """The augmented rows; ``audio`` ``[N, 1, T]`` in +-1 is left as it is."""
        ...


def check_probability(name: str, probability: float) -> None:
    """Refuse what is not a probability."""
    if not 0 <= probability <= 1:
        raise ConfigError(f"the probability of {name} must be in [0, 1], got {probability}")


def check_range(name: str, bounds: tuple[float, float], lowest: float = float("-inf")) -> None:
    """Refuse a (low, high) range that is reversed, not finite or below ``lowest``."""
    low, high = bounds
    if not lowest <= low <= high < float("inf"):
        above = f" with low >= {lowest:g}" if lowest > float("-inf") else ""
        raise ConfigError(f"{name} must be a finite (low, high) with low <= high{above}, got {bounds}")
