"""How near is near enough, for everything the synthesiser promises."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Tolerances:
    """Bounds of the synthesiser's tests."""

    cents: float = 2.0
    """Of a note's pitch. Trained listeners hear about 5."""
    edge: float = 0.02
    """Of a note's first and last sample, as a share of its peak: -34 dB, no click."""
    mean: float = 0.02
    """Of a note's mean, as a share of its RMS."""
    alias_db: float = -45.0
    """Power between the harmonics of a steady tone, against all of it."""
    tempo: float = 0.01
    """Of a tempo, as a share of it."""
    level_db: float = 0.1
    """Of a song's RMS; the bent peaks take a little."""
    filter_share: float = 1e-4
    """Of float32 block convolution against float64 direct convolution, as a share of the peak."""


@pytest.fixture(scope="session")
def tolerances() -> Tolerances:
    return Tolerances()
