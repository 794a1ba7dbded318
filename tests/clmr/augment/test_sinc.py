"""Windowed-sinc filters against scipy's firwin and the physics of a steep slope."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import signal

from clmr.augment import Filter, sinc_filter
from clmr.augment.sinc import _fft_length, half_length
from clmr.errors import ConfigError
from tests.clmr.augment.signals import RATES, extremes, level_db, noise, relative_error, tone
from tests.tolerances import FLOAT32_FFT, FLOAT64, RESPONSE_DB


def julius_taps(cutoff: float, high: bool) -> npt.NDArray[np.float64]:
    """The taps of julius' filters, one by one; ``cutoff`` in units of the sample rate."""
    half = int(8 / cutoff / 2)
    taps = []
    for i in range(-half, half + 1):
        window = 0.5 - 0.5 * math.cos(2 * math.pi * (i + half) / (2 * half))
        angle = 2 * cutoff * math.pi * i
        taps.append(2 * cutoff * window * (math.sin(angle) / angle if i else 1.0))
    low = np.array(taps) / sum(taps)
    return np.eye(2 * half + 1)[half] - low if high else low


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


@pytest.mark.parametrize("sample_rate", RATES)
def test_measured_response(sample_rate: int) -> None:
    """The spectrum of what a click becomes against that of the taps; cutoffs of the ranges with their ends."""
    low_pass, high_pass = (np.linspace(*ends, 5) for ends in (Filter().low_pass_hz, Filter().high_pass_hz))
    hz = np.concatenate([low_pass[low_pass < sample_rate / 2], high_pass])
    high = np.arange(len(hz)) >= len(hz) - 5
    click = torch.zeros(len(hz), 1, 32_000)
    click[:, :, 15_003] = 1
    got = sinc_filter(click, torch.from_numpy(hz), torch.from_numpy(high), sample_rate, 200)
    measured = abs(np.fft.rfft(got[:, 0].double().numpy()))
    for row in range(len(hz)):
        stated = abs(np.fft.rfft(julius_taps(hz[row] / sample_rate, bool(high[row])), 32_000))
        audible = stated > 1e-3  # decibels of what lies below are those of float32 rounding
        difference = 20 * np.log10(measured[row][audible] / stated[audible])
        assert abs(difference).max() < RESPONSE_DB
        assert measured[row][~audible].max(initial=0) < 1e-3 + 1e-5


@pytest.mark.parametrize("frames", [1, 2, 440, 3214, 3215, 6428, 20_000])
def test_at_the_seams_of_the_pieces(frames: int) -> None:
    """Pieces of 3214 samples; the ends of the signal are repeated, also where it is shorter than the taps."""
    longest = half_length(200, 22050)
    assert _fft_length(20_000, longest) - 2 * longest == 3214
    x = noise(1, frames).double()
    for cutoff, high in ((200.0, False), (1200.0, True)):
        taps = julius_taps(cutoff / 22050, high)
        half = len(taps) // 2
        expected = signal.oaconvolve(np.pad(x[0, 0].numpy(), half, mode="edge"), taps, mode="valid")
        got = sinc_filter(x, torch.tensor([cutoff]), torch.tensor([high]), 22050, 200)
        assert got.shape == (1, 1, frames)
        assert ((got[0, 0] - torch.from_numpy(expected)).abs().max() / x.abs().max()).item() < FLOAT64


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


@pytest.mark.parametrize(("hz", "lowest"), [(199.0, 200.0), (300.0, 0.0), (float("nan"), 200.0)])
def test_refuses_cutoffs(hz: float, lowest: float) -> None:
    with pytest.raises(ConfigError, match="cutoffs must be at or above lowest_hz > 0"):
        sinc_filter(noise(2, 100), torch.tensor([700.0, hz]), torch.tensor([True, True]), 8000, lowest)


def test_fft_lengths() -> None:
    """A power of two for long signals; the whole signal with its ends, rounded up, for shorter ones."""
    longest = half_length(200, 22050)
    assert _fft_length(10**6, longest) == _fft_length(3215, longest) == 4096
    assert _fft_length(1000, longest) == 1920
    assert [_fft_length(length, longest) for length in (1118, 1119)] == [2000, 2048]


def test_refuses_a_lowest_cutoff_also_for_no_rows() -> None:
    with pytest.raises(ConfigError, match="got none and lowest_hz 0"):
        sinc_filter(torch.empty(0, 1, 100), torch.empty(0), torch.empty(0, dtype=torch.bool), 8000, 0)
