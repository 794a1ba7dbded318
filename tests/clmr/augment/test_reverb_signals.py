"""Reverberation in float32 of what is harder than noise: music, clicks, fades, tones on a resonance of the room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.clmr.augment.music import music
from tests.clmr.augment.signals import RATES, extremes, noise, sox, tone
from tests.clmr.augment.test_reverb import CROPS, GRID, columns, ratio_db, wet
from tests.tolerances import REVERB_MUSIC_DB, REVERB_RESONANCE_DB, REVERB_WORST_DB


@pytest.mark.needs("sox")
@pytest.mark.parametrize("sample_rate", RATES)
def test_equals_sox_on_music(sample_rate: int, tmp_path: Path) -> None:
    """Tones rather than noise: their energy lies on the resonances of a room, or between them."""
    audio = 0.1 * music(0, sample_rate, CROPS[sample_rate])  # sox clips what exceeds full scale
    got = wet(audio.expand(len(GRID), -1, -1), columns(*GRID), sample_rate)
    for row, setting in enumerate(GRID):
        expected = sox(audio, sample_rate, tmp_path, "reverb", *(f"{value}" for value in setting), "channels", "1")
        assert ratio_db(got[row], expected[0]) > REVERB_MUSIC_DB, setting


def test_float32_is_near_float64_for_hard_signals() -> None:
    """A click rings on at full precision; constants and tones sit on the peaks of the combs; fades weigh one end."""
    n = torch.arange(20736)
    pink = torch.fft.irfft(torch.fft.rfft(noise(1, 20736)[0, 0]) / torch.arange(1, 10370) ** 0.7, 20736)
    slope = (n / 20736) ** 4
    signals = [pink, pink * slope, pink * slope.flip(0), tone(27.5, 8000, 20736)[0, 0], tone(440, 8000, 20736)[0, 0]]
    rows = torch.cat([torch.stack(signals).float()[:, None], extremes(20736)[1:5]])
    for setting in ((100, 0, 0), (100, 100, 0), (100, 0, 100), (50, 0, 100), (0, 0, 100)):
        settings = columns(setting).expand(-1, len(rows))
        got, expected = wet(rows, settings, 8000), wet(rows.double(), settings, 8000)
        for row in range(len(rows)):
            assert ratio_db(got[row], expected[row]) > REVERB_WORST_DB, (row, setting)


@pytest.mark.parametrize(("setting", "hz"), [((80, 50, 0), 268.95), ((100, 100, 0), 367.25), ((100, 0, 0), 1311.0)])
def test_float32_is_farthest_for_tones_on_a_resonance(setting: tuple[float, float, float], hz: float) -> None:
    audio = tone(hz, 22050, 59049).float()
    got, expected = wet(audio, columns(setting), 22050), wet(audio.double(), columns(setting), 22050)
    assert ratio_db(got, expected) > REVERB_RESONANCE_DB
    early = slice(0, 30_000)  # the damping that is undone grows towards the end
    assert ratio_db(got[..., early], expected[..., early]) > 80
