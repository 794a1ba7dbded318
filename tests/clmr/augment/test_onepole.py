"""First-order filters against scipy and the physics of a 6 dB per octave slope."""

from __future__ import annotations

import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torchaudio
from scipy import signal

from clmr.augment import Filter, first_order_filter, onepole
from clmr.augment.kernels.onepole import first_order
from clmr.augment.onepole import BLOCK, TILE, one_pole
from clmr.errors import ConfigError
from tests.clmr.augment.signals import RATES, extremes, level_db, noise, relative_error, tone
from tests.tolerances import FLOAT32_FILTER, FLOAT64, RESPONSE_DB, TONE_DB


@pytest.mark.parametrize("sample_rate", RATES)
def test_equals_butterworth_of_first_order(sample_rate: int) -> None:
    """The all-pass form is the bilinear transform, with its cutoff prewarped, of the analogue RC filter."""
    audio = noise(8, 59049)
    hz = torch.tensor([200, 1200, 2200, 3100, 3900, 3999, 700.5, 20.0], dtype=torch.float64)
    high = torch.tensor([1, 1, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
    got = first_order_filter(audio, hz, high, sample_rate)
    assert got.dtype == torch.float32
    for row in range(8):
        kind = "highpass" if high[row] else "lowpass"
        numerator, denominator = signal.butter(1, hz[row].item(), kind, fs=sample_rate)
        expected = signal.lfilter(numerator, denominator, audio[row, 0].double().numpy())
        assert relative_error(got[row, 0], expected) < FLOAT32_FILTER


@pytest.mark.parametrize("sample_rate", RATES)
def test_measured_response(sample_rate: int) -> None:
    """The spectrum of what a click becomes against (1 +- A) / 2; cutoffs of the paper's ranges with their ends."""
    low_pass, high_pass = (np.linspace(*ends, 5) for ends in (Filter().low_pass_hz, Filter().high_pass_hz))
    hz = torch.from_numpy(np.concatenate([low_pass, high_pass, [20.0]]))
    high = torch.arange(11) >= 5
    click = torch.zeros(11, 1, 32_000)
    click[:, :, 5] = 1  # not where a block begins
    measured = np.fft.rfft(first_order_filter(click, hz, high, sample_rate)[:, 0].double().numpy())
    z = np.exp(-1j * np.pi * np.arange(16_001) / 16_000)
    for row in range(11):
        t = math.tan(math.pi * hz[row].item() / sample_rate)
        c = (t - 1) / (t + 1) if hz[row] < sample_rate / 2 else 1.0
        allpass = (c + z) / (1 + c * z)
        stated = abs(1 - allpass if high[row] else 1 + allpass) / 2
        audible = stated > 1e-4  # the zeros, at 0 Hz and at half the rate, are minus infinity decibels
        assert audible.sum() > 15_900 if hz[row] < sample_rate / 2 else audible.all()
        difference = 20 * np.log10(abs(measured[row][audible]) / stated[audible])
        assert abs(difference).max() < RESPONSE_DB
        assert abs(measured[row][~audible]).max(initial=0) < 1e-4 + 1e-6


def test_torchaudio_filters_the_same() -> None:
    audio = noise(6, 5000).double()
    hz = torch.tensor([200, 700, 1200, 2200, 3000, 4000], dtype=torch.float64)
    high = torch.tensor([True, True, True, False, False, False])
    t = torch.tan(math.pi * hz / 22050)
    # H(z) = (1 + z^-1) t / (1 + t + (t - 1) z^-1) or (1 - z^-1) / (the same)
    numerator = torch.where(high[:, None], torch.tensor([1.0, -1.0]), torch.stack([t, t], dim=1))
    denominator = torch.stack([1 + t, t - 1], dim=1)
    expected = torchaudio.functional.lfilter(audio[:, 0], denominator, numerator, clamp=False)
    assert relative_error(first_order_filter(audio, hz, high, 22050)[:, 0], expected) < FLOAT64


def test_equals_the_all_pass_listing() -> None:
    """Zoelzer's form, sample by sample: a[n] = c x[n] + x[n-1] - c a[n-1]; low (x + a) / 2, high (x - a) / 2."""
    x = noise(1, 300).double()
    c = (math.tan(math.pi * 700 / 8000) - 1) / (math.tan(math.pi * 700 / 8000) + 1)
    allpass, before_x, before_a = [], 0.0, 0.0
    for sample in x.flatten().tolist():
        before_a = c * sample + before_x - c * before_a
        before_x = sample
        allpass.append(before_a)
    a = torch.tensor(allpass, dtype=torch.float64).view(1, 1, -1)
    hz = torch.tensor([700.0])
    assert relative_error(first_order_filter(x, hz, torch.tensor([False]), 8000), (x + a) / 2) < FLOAT64
    assert relative_error(first_order_filter(x, hz, torch.tensor([True]), 8000), (x - a) / 2) < FLOAT64


@pytest.mark.parametrize("frames", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK**2, BLOCK**2 + 1, 10_007])
@pytest.mark.parametrize("pole", [-1.0, -0.9999, 0.0, 0.3, 0.9999])
def test_one_pole_at_the_seams_of_its_blocks(frames: int, pole: float) -> None:
    x = noise(2, frames)[:, 0].double()
    poles = torch.tensor([pole, 0.5], dtype=torch.float64)
    expected = torch.stack(
        [torch.from_numpy(signal.lfilter([1.0], [1.0, -p], row.numpy())) for p, row in zip(poles, x, strict=True)]
    )
    assert relative_error(one_pole(x, poles), expected) < FLOAT64


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("high", [False, True])
def test_three_decibels_down_at_the_cutoff(sample_rate: int, high: bool) -> None:
    hz = 1000.0
    filtered = first_order_filter(
        tone(hz, sample_rate, 4 * sample_rate), torch.tensor([hz]), torch.tensor([high]), sample_rate
    )
    steady = filtered[..., sample_rate : 3 * sample_rate]  # whole periods
    assert level_db(steady) == pytest.approx(10 * math.log10(0.5) - 10 * math.log10(2), abs=TONE_DB)


def test_keeps_what_passes_and_falls_six_decibels_an_octave() -> None:
    rate = 22050

    def response(hz: float, cutoff: float, high: bool) -> float:
        filtered = first_order_filter(tone(hz, rate, 3 * rate), torch.tensor([cutoff]), torch.tensor([high]), rate)
        return level_db(filtered[..., rate : 2 * rate]) + 10 * math.log10(2)

    assert response(20, 2200, False) == pytest.approx(0, abs=TONE_DB)
    assert response(9000, 200, True) == pytest.approx(0, abs=TONE_DB)
    assert response(50, 1200, True) - response(25, 1200, True) == pytest.approx(6.02, abs=TONE_DB)
    # The bilinear transform bends the frequency axis: octaves of tan(pi f / fs), not of f.
    assert response(8000, 2200, False) == pytest.approx(
        -10 * math.log10(1 + (math.tan(math.pi * 8000 / rate) / math.tan(math.pi * 2200 / rate)) ** 2), abs=TONE_DB
    )


def test_constant_in_constant_out() -> None:
    ones = torch.ones(2, 1, 5000)
    filtered = first_order_filter(ones, torch.tensor([2200.0, 200.0]), torch.tensor([False, True]), 22050)
    assert filtered[0, 0, -1].item() == pytest.approx(1, abs=1e-6)
    assert filtered[1, 0, -1].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("hz", [4000.0, 4000.1, 11000.0])
def test_cutoff_at_or_above_half_the_rate(hz: float) -> None:
    """Nothing is above it: the low-pass returns its input to the bit, the high-pass silence."""
    audio = torch.cat([noise(1, 30_000), extremes(30_000)])
    hertz = torch.full((len(audio),), hz, dtype=torch.float64)
    assert torch.equal(first_order_filter(audio, hertz, torch.zeros(len(audio), dtype=torch.bool), 8000), audio)
    assert first_order_filter(audio, hertz, torch.ones(len(audio), dtype=torch.bool), 8000).count_nonzero() == 0


def test_just_below_half_the_rate_is_nearly_the_input() -> None:
    audio = noise(1, 30_000).double()
    filtered = first_order_filter(audio, torch.tensor([3999.99]).double(), torch.tensor([False]), 8000)
    assert relative_error(filtered, audio) < 1e-3


def test_low_and_high_add_up_to_the_input() -> None:
    audio = noise(1, 3000).double()
    parts = first_order_filter(audio.expand(2, -1, -1), torch.tensor([900.0] * 2), torch.tensor([False, True]), 8000)
    assert relative_error(parts.sum(dim=0), audio[0]) < FLOAT64


def test_kernel_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    audio, hz, high = noise(2, 1000), torch.tensor([200.0, 3000.0]), torch.tensor([True, False])
    expected = first_order_filter(audio, hz, high, 22050)
    kernel = Mock(wraps=first_order)
    monkeypatch.setattr("clmr.augment.kernels.onepole.first_order", kernel)
    monkeypatch.setattr(onepole, "use_kernels", lambda audio: True)  # the kernel runs in Triton's interpreter
    assert relative_error(first_order_filter(audio, hz, high, 22050), expected) < FLOAT32_FILTER
    assert kernel.call_count == 1
    assert first_order_filter(audio[..., :0], hz, high, 22050).shape == (2, 1, 0)  # a grid of no programs fails
    assert kernel.call_count == 1


def test_rows_on_both_sides_of_a_tile() -> None:
    audio = noise(2 * TILE + 1, 700).double()
    hz = torch.linspace(200, 3900, len(audio), dtype=torch.float64)
    high = torch.arange(len(audio)) % 3 == 0
    together = first_order_filter(audio, hz, high, 8000)
    for row in range(len(audio)):
        kind = "highpass" if high[row] else "lowpass"
        expected = signal.lfilter(*signal.butter(1, hz[row].item(), kind, fs=8000), audio[row, 0].numpy())
        assert relative_error(together[row, 0], expected) < FLOAT64


@pytest.mark.parametrize("hz", [0.0, -100.0, float("nan")])
def test_refuses_cutoffs(hz: float) -> None:
    with pytest.raises(ConfigError, match="cutoffs must be above 0 Hz"):
        first_order_filter(noise(2, 100), torch.tensor([200.0, hz]), torch.tensor([True, True]), 8000)


def test_bfloat16_autocast_does_not_reach_it() -> None:
    audio, hz, high = noise(2, 3000), torch.tensor([300.0, 900.0]), torch.tensor([True, False])
    expected = first_order_filter(audio, hz, high, 8000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(first_order_filter(audio, hz, high, 8000), expected)
