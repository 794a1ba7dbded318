"""What every instrument is made of: phases, wave tables and envelopes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

TABLE_LENGTH = 2048


@dataclass(frozen=True)
class Voice:
    """One instrument as one song hears it: no two songs share the very same guitar."""

    instrument: str
    """Its name, a key of :data:`sharding.synth.instruments.INSTRUMENTS`."""
    brightness: float = 0.5
    """0 dark ... 1 bright: how slowly the partials fall off."""
    vibrato_hz: float = 5.5
    """Rate of the vibrato or tremolo, in Hz."""
    seed: int = 0
    """Seed of the noise in it: the pick, the breath."""


def sample_count(seconds: float, rate: int) -> int:
    """Samples in ``seconds``, at least one."""
    return max(1, round(seconds * rate))


def cycles(frequency: float, count: int, rate: int, vibrato: float = 0.0, vibrato_hz: float = 5.5) -> Samples:
    """The phase of a tone, in cycles within [0, 1).

    Args:
        frequency: mean pitch in Hz.
        count: samples wanted.
        rate: samples per second.
        vibrato: depth as a ratio: 0.01 swings by 1 % of the frequency (17 cents) either way.
        vibrato_hz: swings per second.

    Returns:
        Phases, float32, shape ``[count]``.
    """
    time = np.arange(count) / rate
    phase = frequency * time
    if vibrato:
        # The integral of frequency * vibrato * cos(2 pi v t), let in over the first 0.3 s as players do.
        swing = frequency * vibrato / (2 * math.pi * vibrato_hz)
        phase += swing * np.minimum(time / 0.3, 1.0) * np.sin(2 * math.pi * vibrato_hz * time)
    phase -= np.floor(phase)
    return phase.astype(np.float32)


def partials_below_nyquist(frequency: float, rate: int, most: int) -> int:
    """How many harmonics of ``frequency`` fit below 45 % of the rate, between 1 and ``most``."""
    return max(1, min(most, int(0.45 * rate / frequency)))


def wave_table(amplitudes: Sequence[float] | npt.NDArray[np.float64]) -> Samples:
    """One period of a sum of harmonics; its last entry repeats the first, for interpolation.

    Args:
        amplitudes: of harmonics 1, 2, 3 ...

    Returns:
        float32, shape ``[TABLE_LENGTH + 1]``, with unit RMS.
    """
    spectrum = np.zeros(TABLE_LENGTH // 2 + 1, dtype=np.complex128)
    # Phases as of k^2 (Schroeder): the partials' peaks do not pile up, so the crest factor stays low.
    harmonic = np.arange(1, len(amplitudes) + 1)
    spectrum[1 : len(amplitudes) + 1] = np.asarray(amplitudes) * np.exp(-1j * math.pi * harmonic**2 / len(amplitudes))
    period = np.fft.irfft(spectrum, TABLE_LENGTH)
    period /= math.sqrt(float(np.mean(period**2)))
    return np.append(period, period[0]).astype(np.float32)


def read_table(table: Samples, phase: Samples) -> Samples:
    """The table's value at each phase, linearly interpolated; ``phase`` is in [0, 1]."""
    position = phase * np.float32(TABLE_LENGTH)
    index = np.minimum(position.astype(np.int32), TABLE_LENGTH - 1)
    below = table[index]
    read: Samples = below + (position - index.astype(np.float32)) * (table[index + 1] - below)
    return read


def decay(count: int, rate: int, seconds: float) -> Samples:
    """Exponential decay from 1 that has fallen by 60 dB after ``seconds``."""
    # 10^(-3 t / T60)
    envelope: Samples = np.exp(np.arange(count, dtype=np.float32) * np.float32(-6.908 / (seconds * rate)))
    return envelope


def shape_ends(wave: Samples, rate: int, attack: float, release: float) -> Samples:
    """Raise a note from zero and let it back down to zero, in place, by halves of a cosine.

    Args:
        wave: the note, float32, shape ``[N]``; each ramp takes at most half of it.
        rate: samples per second.
        attack: seconds of the ramp up.
        release: seconds of the ramp down.
    """
    for seconds, backwards in ((attack, False), (release, True)):
        length = min(sample_count(seconds, rate), len(wave) // 2)
        ramp = (0.5 - 0.5 * np.cos(np.arange(length) * (math.pi / max(length, 1)))).astype(np.float32)
        if backwards:
            wave[len(wave) - length :] *= ramp[::-1]
        else:
            wave[:length] *= ramp
    return wave
