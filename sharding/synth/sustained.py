"""Tones that last as long as they are held: organ, bowed strings, flute, synthesiser, bass. Read from wave tables."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sharding.synth.waves import (
    Samples,
    Voice,
    cycles,
    decay,
    partials_below_nyquist,
    read_table,
    sample_count,
    shape_ends,
    wave_table,
)

ORGAN_DRAWBARS = (1.0, 0.8, 0.5, 0.6, 0.0, 0.3, 0.0, 0.35)  # of harmonics 1..8
FLUTE_PARTIALS = (1.0, 0.35, 0.12, 0.05)


def organ(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """Drawbars: eight harmonics that neither grow nor fade, under a slow tremolo."""
    count = sample_count(seconds, rate)
    bright = np.array(ORGAN_DRAWBARS) * np.linspace(1.0, 0.3 + 1.2 * voice.brightness, 8)
    table = wave_table(bright[: partials_below_nyquist(frequency, rate, 8)])
    wave = read_table(table, cycles(frequency, count, rate))
    wave *= 1 + np.float32(0.12) * sine(voice.vibrato_hz, count, rate)
    return shape_ends(wave, rate, attack=0.012, release=0.03)


def strings(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """Two bowed players a few cents apart: a saw-like spectrum, slow attack, vibrato."""
    count = sample_count(seconds, rate)
    harmonic = np.arange(1, partials_below_nyquist(frequency, rate, 40) + 1)
    # The bow gives 1/k, the body a broad hump around 2.5 times the open strings' range.
    body = 1 + 1.5 * np.exp(-((np.log2(harmonic * frequency / 1100)) ** 2))
    table = wave_table(body * harmonic ** -(1.6 - 0.6 * voice.brightness))
    wave = np.zeros(count, dtype=np.float32)
    for cents, faster in ((-4, 1.0), (4, 1.13)):
        detuned = frequency * 2 ** (cents / 1200)
        wave += read_table(table, cycles(detuned, count, rate, 0.007, voice.vibrato_hz * faster))
    wave *= np.float32(0.7)
    return shape_ends(wave, rate, attack=0.12, release=0.1)


def flute(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """Few harmonics, breath around them, vibrato in pitch and loudness."""
    count = sample_count(seconds, rate)
    partials = np.array(FLUTE_PARTIALS) * np.linspace(1.0, 0.4 + voice.brightness, 4)
    table = wave_table(partials[: partials_below_nyquist(frequency, rate, 4)])
    wave = read_table(table, cycles(frequency, count, rate, 0.004, voice.vibrato_hz))
    wave *= 1 + np.float32(0.2) * sine(voice.vibrato_hz, count, rate)
    breath = breath_noise(voice.seed, rate)
    first = round(frequency * 7) % (len(breath) // 2)
    wave += np.float32(0.06) * np.resize(breath[first:], count)
    return shape_ends(wave, rate, attack=0.05, release=0.05)


def synth(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """A saw through a low-pass that opens wide and closes: a cross-fade from a bright to a dark table."""
    count = sample_count(seconds, rate)
    harmonic = np.arange(1, partials_below_nyquist(frequency, rate, 40) + 1)
    phase = cycles(frequency, count, rate)
    dark = wave_table(1 / harmonic / (1 + (harmonic * frequency / (500 + 900 * voice.brightness)) ** 4))
    bright = wave_table(1 / harmonic / (1 + (harmonic * frequency / (2500 + 2500 * voice.brightness)) ** 4))
    opening = decay(count, rate, 1.2)
    wave = read_table(dark, phase)
    wave += opening * (read_table(bright, phase) - wave)
    return shape_ends(wave, rate, attack=0.006, release=0.04)


def bass(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """An electric bass: a dark table, a brighter one in the attack, and a slow decay."""
    count = sample_count(seconds, rate)
    harmonic = np.arange(1, partials_below_nyquist(frequency, rate, 40) + 1)
    phase = cycles(frequency, count, rate)
    dark = wave_table(1 / harmonic / (1 + (harmonic * frequency / 200) ** 2))
    bright = wave_table(1 / harmonic / (1 + (harmonic * frequency / (300 + 700 * voice.brightness)) ** 2))
    wave = read_table(dark, phase)
    wave += decay(count, rate, 0.5) * (read_table(bright, phase) - wave)
    wave *= decay(count, rate, 5.0)
    return shape_ends(wave, rate, attack=0.005, release=0.03)


def sine(frequency: float, count: int, rate: int) -> Samples:
    """A low-frequency sine that starts at zero."""
    angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi * frequency / rate)
    wave: Samples = np.sin(angle)
    return wave


@lru_cache(maxsize=4)
def breath_noise(seed: int, rate: int) -> Samples:
    """Four seconds of noise between about 700 Hz and 4 kHz with unit RMS."""
    count = 4 * rate
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(count, 1 / rate), 1.0) / 1700)
    noise = np.fft.irfft(spectrum * np.exp(-(octaves**2)), count)
    noise /= np.sqrt(np.mean(noise**2))
    return noise.astype(np.float32)
