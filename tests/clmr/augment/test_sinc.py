"""Windowed-sinc filters against scipy's firwin and the physics of a steep slope."""

from __future__ import annotations

import pytest
import torch
from scipy import signal

from clmr.augment import sinc_filter
from clmr.augment.sinc import _smooth_length, half_length
from tests.clmr.augment.signals import RATES, extremes, level_db, noise, relative_error, tone
from tests.tolerances import FLOAT32_FFT, FLOAT64


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("frames", [20736, 100])
def test_equals_scipys_window_design(sample_rate: int, frames: int) -> None:
    """Hann-windowed design of 2 int(4 / f) + 1 taps with unit gain at 0 Hz, on the signal with repeated ends."""
    audio = noise(6, frames)
    hz = torch.tensor([200, 777.7, 1200, 2200, 3000, 3990], dtype=torch.float64)
    for high in (False, True):
        got = sinc_filter(audio, hz, torch.full((6,), high), sample_rate, lowest_hz=200)
        for row in range(6):
            half = int(4 / (hz[row].item() / sample_rate))
            assert half == half_length(hz[row].item(), sample_rate)
            taps = signal.firwin(2 * half + 1, hz[row].item(), window="hann", fs=sample_rate)
            x = audio[row, 0].double()
            padded = torch.cat([x[:1].expand(half), x, x[-1:].expand(half)])
            low = torch.from_numpy(signal.convolve(padded.numpy(), taps, mode="valid"))
            expected = x - low if high else low
            assert ((got[row, 0] - expected).abs().max() / x.abs().max()).item() < FLOAT32_FFT


def test_tone_kept_or_killed() -> None:
    rate = 22050
    for hz, cutoff, high, kept in ((1000, 3000, False, True), (6000, 3000, False, False), (2000, 700, True, True)):
        filtered = sinc_filter(tone(hz, rate, rate), torch.tensor([float(cutoff)]), torch.tensor([high]), rate, 200)
        change = level_db(filtered[..., 2000:-2000]) - level_db(tone(hz, rate, rate))
        assert abs(change) < 0.1 if kept else change < -60
    quiet = sinc_filter(tone(100, rate, rate), torch.tensor([700.0]), torch.tensor([True]), rate, 200)
    assert level_db(quiet[..., 2000:-2000]) < -60


def test_six_decibels_down_at_the_cutoff() -> None:
    filtered = sinc_filter(tone(1000, 8000, 8000), torch.tensor([1000.0]), torch.tensor([False]), 8000, 200)
    steady = filtered[..., 1000:-1000]
    assert level_db(steady) - level_db(tone(1000, 8000, 8000)[..., 1000:-1000]) == pytest.approx(-6.02, abs=0.05)


def test_cutoff_at_half_the_rate() -> None:
    audio = extremes(3000)
    hz = torch.full((6,), 4000.0)
    assert torch.equal(sinc_filter(audio, hz, torch.zeros(6, dtype=torch.bool), 8000, 200), audio)
    assert sinc_filter(audio, hz, torch.ones(6, dtype=torch.bool), 8000, 200).count_nonzero() == 0


def test_longest_row_does_not_change_the_others() -> None:
    audio = noise(1, 3000).double()
    args = torch.tensor([3000.0]), torch.tensor([False]), 8000
    assert relative_error(sinc_filter(audio, *args, lowest_hz=200), sinc_filter(audio, *args, lowest_hz=3000)) < FLOAT64


def test_fft_lengths() -> None:
    smooth = {2**a * 3**b * 5**c for a in range(12) for b in range(8) for c in range(6)}
    for length in range(1, 1000):
        assert _smooth_length(length) == min(size for size in smooth if size >= length)
