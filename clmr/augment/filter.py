"""A low-pass or a high-pass by coin flip, the strongest of the paper's augmentations (section B.5, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Columns, check_probability, check_range
from clmr.augment.onepole import first_order_filter
from clmr.augment.sinc import sinc_filter
from clmr.errors import ConfigError


@dataclass(frozen=True)
class Filter:
    """Keeps the lows or the highs, each half of the time, at a uniform cutoff."""

    name: ClassVar[str] = "filter"

    probability: float = 0.8
    """Share of the rows filtered, in [0, 1]."""

    low_pass_hz: tuple[float, float] = (2200.0, 4000.0)
    """Lowest and highest cutoff of the low-pass in Hz."""

    high_pass_hz: tuple[float, float] = (200.0, 1200.0)
    """Lowest and highest cutoff of the high-pass in Hz."""

    kind: Literal["first-order", "sinc"] = "first-order"
    """``first-order``: the paper's essentia filters, 6 dB per octave. ``sinc``: the authors' later code, steeper."""

    def __post_init__(self) -> None:
        check_probability(self.name, self.probability)
        check_range("filter.low_pass_hz", self.low_pass_hz, lowest=1)
        check_range("filter.high_pass_hz", self.high_pass_hz, lowest=1)
        if self.kind not in {"first-order", "sinc"}:
            raise ConfigError(f"filter.kind must be first-order or sinc, got {self.kind!r}")

    def draw(self, keys: Tensor) -> Columns:
        """``high``: bool, whether it is the high-pass; ``hz``: its cutoff, float64."""
        unit = draw.uniform(keys, "filter.hz")
        high = draw.uniform(keys, "filter.high") < 0.5
        low_pass, high_pass = (low + (top - low) * unit for low, top in (self.low_pass_hz, self.high_pass_hz))
        return {"high": high, "hz": torch.where(high, high_pass, low_pass)}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        """See :func:`first_order_filter` and :func:`sinc_filter`."""
        if self.kind == "first-order":
            return first_order_filter(audio, columns["hz"], columns["high"], sample_rate)
        lowest = min(self.low_pass_hz[0], self.high_pass_hz[0])
        return sinc_filter(audio, columns["hz"], columns["high"], sample_rate, lowest)
