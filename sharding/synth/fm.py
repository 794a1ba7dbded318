"""Frequency modulation: J. Chowning, The Synthesis of Complex Audio Spectra, JAES 21(7), 1973."""

from __future__ import annotations

import numpy as np

from sharding.synth.waves import Samples, Voice, cycles, decay, partials_below_nyquist, sample_count, shape_ends

TURN = np.float32(2 * np.pi)


def bell(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """Modulator at 1.4 times the carrier: inharmonic partials that die before the fundamental does."""
    count = sample_count(seconds, rate)
    modulator = np.sin(TURN * cycles(1.4 * frequency, count, rate))
    # The widest partial that matters is (1 + 1.4 * (index + 1)) * frequency: keep it below the Nyquist frequency.
    room = 0.45 * rate / frequency
    index = min(1.0 + 2.0 * voice.brightness, max(0.0, (room - 1) / 1.4 - 1))
    wave: Samples = np.sin(
        TURN * cycles(frequency, count, rate) + np.float32(index) * decay(count, rate, 1.5) * modulator
    )
    wave *= np.float32(1.4) * decay(count, rate, 3.5)
    return shape_ends(wave, rate, attack=0.002, release=0.08)


def electric_piano(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """A pair at 1:1 for the body and a short tine at the 14th harmonic for the stroke."""
    count = sample_count(seconds, rate)
    phase = TURN * cycles(frequency, count, rate)
    index = np.float32(0.6 + 1.2 * voice.brightness) * decay(count, rate, 2.5)
    wave: Samples = np.sin(phase + index * np.sin(phase))
    if partials_below_nyquist(frequency, rate, 14) == 14:
        tine = np.sin(TURN * cycles(14 * frequency, count, rate))
        wave += np.float32(0.1 + 0.15 * voice.brightness) * decay(count, rate, 0.25) * tine
    wave *= np.float32(1.4) * decay(count, rate, 4.5)
    return shape_ends(wave, rate, attack=0.003, release=0.06)
