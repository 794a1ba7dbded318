"""What every augmentation is: ranges to draw from, a draw for each row, and a pure function of audio and the draws."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from clmr.errors import ConfigError

Columns = dict[str, Tensor]
"""Parameter name -> one value per row, shape ``[N]``, on the host: float64, int64 or bool."""


class Augmentation(Protocol):
    """A frozen dataclass of ranges with these members; whatever has them can stand in a chain."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    name: ClassVar[str]
    """Prefix of its columns in a chain's table and of its streams of draws; no dot in it."""

    @property
    def probability(self) -> float:
        """Share of the rows it is applied to, in [0, 1]."""
        ...

    def draw(self, keys: Tensor) -> Columns:
        """The parameters of each row, from its int64 draw key alone; shape ``[N]`` each, on the host."""
        ...

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """The augmented rows.

        Args:
            audio: shape ``[N, 1, T]``, float32 or float64, in +-1, on any device; it may be written over. A chain
                gives 1 to 256 rows at a time.
            columns: those of :meth:`draw`, N rows, on the host. What the device needs of them is sent by
                :func:`clmr.augment.send.send`; nothing is ever fetched from the device.
            sample_rate: samples per second.

        Returns:
            Shape ``[N, 1, T]``. Row i depends on row i of audio and columns alone.
        """
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
