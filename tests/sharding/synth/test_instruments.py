"""Notes by their physics: pitch, ends, spectrum, decay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sharding.synth.instruments import INSTRUMENTS, MELODIC, play
from sharding.synth.waves import Samples, Voice

LOW, MIDDLE, HIGH = 43, 62, 84  # MIDI numbers at the ends and in the middle of what songs ask for


def frequency(midi: int) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


def power_spectrum(wave: Samples, rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    size = 1 << 19
    power: npt.NDArray[np.float64] = np.abs(np.fft.rfft(wave.astype(np.float64) * np.hanning(len(wave)), size)) ** 2
    return np.linspace(0, rate / 2, len(power)), power


def band_power(wave: Samples, rate: int, low: float, high: float) -> float:
    frequencies, power = power_spectrum(wave, rate)
    return float(power[(frequencies >= low) & (frequencies < high)].sum())


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("midi", [LOW, MIDDLE, HIGH])
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_the_pitch_is_right(name: str, midi: int, rate: int, tolerances: Any) -> None:
    """The power around the fundamental has its centre there: the mean pitch, through vibrato and detuned pairs."""
    for brightness in (0.1, 0.9):
        wave = play(Voice(name, brightness, seed=3), frequency(midi), 2.0, rate)
        frequencies, power = power_spectrum(wave, rate)
        near = np.abs(frequencies / frequency(midi) - 1) < 0.05
        measured = np.average(frequencies[near], weights=power[near])
        assert abs(1200 * np.log2(measured / frequency(midi))) < tolerances.cents


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_tone_is_periodic_at_its_pitch(name: str) -> None:
    """Autocorrelation, the other way to pitch: within a fifth either way nothing repeats better than one period."""
    rate = 44100
    wave = play(Voice(name, seed=3), frequency(60), 2.0, rate)[rate:].astype(np.float64)
    size = 1 << 17
    correlation = np.fft.irfft(np.abs(np.fft.rfft(wave - wave.mean(), size)) ** 2)
    period = rate / frequency(60)
    lags = np.arange(round(period / 1.5), round(period * 1.5))
    assert abs(lags[correlation[lags].argmax()] - period) <= 1


@pytest.mark.parametrize("seconds", [0.1, 1.5])
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_notes_begin_and_end_at_zero_and_have_no_mean(name: str, seconds: float, tolerances: Any) -> None:
    for rate in (16000, 44100):
        wave = play(Voice(name, seed=1), frequency(57), seconds, rate)
        assert wave.dtype == np.float32
        assert wave.shape == (round(seconds * rate),)
        peak = np.abs(wave).max()
        assert abs(wave[0]) <= tolerances.edge * peak
        assert abs(wave[-1]) <= tolerances.edge * peak
        if seconds > 1:
            assert abs(wave.mean()) <= tolerances.mean * np.sqrt(np.mean(wave**2))


@pytest.mark.parametrize("name", ["organ", "synth", "bass"])
def test_nothing_is_folded_back_from_above_half_the_rate(name: str, tolerances: Any) -> None:
    """A harmonic folded at half the rate lands between the harmonics, where a periodic tone has nothing."""
    rate, pitch = 16000, frequency(79)
    wave = play(Voice(name, brightness=0.9), pitch, 2.0, rate)
    frequencies, power = power_spectrum(wave, rate)
    nearest = np.maximum(np.round(frequencies / pitch), 1) * pitch
    between = np.abs(frequencies - nearest) > 0.2 * pitch
    assert 10 * np.log10(power[between].sum() / power.sum()) < tolerances.alias_db


def test_a_plucked_string_dulls_as_it_rings() -> None:
    rate = 22050
    wave = play(Voice("guitar", seed=5), frequency(50), 2.0, rate)
    early, late = wave[: rate // 2], wave[rate : rate + rate // 2]
    shares = [band_power(part, rate, 1000, 5000) / band_power(part, rate, 50, 1000) for part in (early, late)]
    assert shares[1] < shares[0] / 10
    assert np.mean(late**2) < np.mean(early**2) / 4


def test_each_pluck_has_its_own_noise() -> None:
    first, second = (play(Voice("guitar", seed=seed), 220, 0.5, 16000) for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


def test_a_bell_is_inharmonic_and_an_electric_piano_is_not() -> None:
    """Chowning: partials at |carrier +- k modulator|, so one at 2.4 times the pitch for 1.4 and none there for 1."""
    rate, pitch = 44100, 300.0
    shares = []
    for name in ("bell", "electric_piano"):
        wave = play(Voice(name, seed=1), pitch, 1.0, rate)
        shares.append(band_power(wave, rate, 2.35 * pitch, 2.45 * pitch) / band_power(wave, rate, 20, 20000))
    assert shares[0] > 0.01
    assert shares[1] < 1e-4


@pytest.mark.parametrize("vibrato_hz", [4.8, 6.4])
def test_a_flute_swings_at_its_vibrato(vibrato_hz: float) -> None:
    """The pitch, taken from the phase of the fundamental's analytic signal, rises and falls so often a second."""
    rate, pitch = 16000, 440.0
    wave = play(Voice("flute", vibrato_hz=vibrato_hz), pitch, 3.0, rate)[rate:].astype(np.float64)
    spectrum = np.fft.fft(wave)
    frequencies = np.fft.fftfreq(len(wave), 1 / rate)
    fundamental = np.fft.ifft(np.where(np.abs(frequencies - pitch) < 60, spectrum, 0))
    swing = np.diff(np.unwrap(np.angle(fundamental))) * rate / (2 * np.pi) - pitch
    power = np.abs(np.fft.rfft(swing[800:-800] * np.hanning(len(swing) - 1600))) ** 2
    rates = np.fft.rfftfreq(len(swing) - 1600, 1 / rate)
    band = (rates > 3) & (rates < 9)
    assert abs(rates[band][power[band].argmax()] - vibrato_hz) < 0.3


def test_brightness_is_heard_on_every_instrument() -> None:
    for name in MELODIC:
        waves = [play(Voice(name, brightness, seed=2), 330, 1.0, 22050) for brightness in (0.1, 0.9)]
        dark, bright = (band_power(w, 22050, 600, 11000) / band_power(w, 22050, 50, 600) for w in waves)
        assert bright > 1.2 * dark, name


def test_the_same_note_twice_is_the_same() -> None:
    for name in INSTRUMENTS:
        first, second = (play(Voice(name, seed=9), 220, 0.3, 22050) for _ in range(2))
        assert np.array_equal(first, second)
