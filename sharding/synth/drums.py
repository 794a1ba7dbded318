"""A drum kit of four sounds."""

from __future__ import annotations

import numpy as np

from sharding.synth.waves import Samples, Voice, decay, sample_count, shape_ends

KICK, SNARE, HAT, OPEN_HAT = "kick", "snare", "hat", "open hat"
TURN = 2 * np.pi


def drum(voice: Voice, name: str, rate: int) -> Samples:
    """One stroke.

    Args:
        voice: the kit: its brightness tunes the drums, its seed makes their noise.
        name: ``"kick"``, ``"snare"``, ``"hat"`` or ``"open hat"``.
        rate: samples per second.

    Returns:
        The stroke, float32, shape ``[N]``, that starts and ends at zero, peak about 1.
    """
    if name == KICK:
        return _kick(voice, rate)
    if name == SNARE:
        return _snare(voice, rate)
    return _hat(voice, rate, 0.07 if name == HAT else 0.3)


def _kick(voice: Voice, rate: int) -> Samples:
    count = sample_count(0.35, rate)
    time = np.arange(count) / rate
    low = 45 + 15 * voice.brightness
    # Pitch falls from low + 110 Hz to low with a time constant of 30 ms; the phase is its integral.
    phase = low * time + 110 * 0.03 * (1 - np.exp(-time / 0.03))
    wave = np.sin(TURN * phase).astype(np.float32) * decay(count, rate, 0.4)
    return shape_ends(wave, rate, attack=0.001, release=0.05)


def _snare(voice: Voice, rate: int) -> Samples:
    count = sample_count(0.25, rate)
    time = np.arange(count) / rate
    rattle = _noise(voice, count, 1) * decay(count, rate, 0.22)
    shell = np.sin(TURN * (170 + 40 * voice.brightness) * time).astype(np.float32) * decay(count, rate, 0.15)
    wave = np.float32(0.25) * rattle + np.float32(0.5) * shell
    return shape_ends(wave, rate, attack=0.001, release=0.03)


def _hat(voice: Voice, rate: int, seconds: float) -> Samples:
    count = sample_count(seconds, rate)
    # Second differences: a high-pass of 12 dB per octave.
    hiss = np.diff(_noise(voice, count + 2, 2), 2) * decay(count, rate, seconds)
    wave = (hiss * np.float32(0.3 / max(float(np.abs(hiss).max()), 1e-9))).astype(np.float32)
    return shape_ends(wave, rate, attack=0.001, release=0.01)


def _noise(voice: Voice, count: int, stream: int) -> Samples:
    return np.random.default_rng([voice.seed, stream]).standard_normal(count, dtype=np.float32)
