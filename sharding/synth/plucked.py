"""A plucked string: K. Karplus and A. Strong, Computer Music Journal 7(2), 1983, tuned as Jaffe and Smith tune it."""

from __future__ import annotations

import numpy as np

from sharding.synth.waves import Samples, Voice, decay, sample_count, shape_ends


def guitar(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """A burst of noise runs round a loop one period long, and a filter in the loop dulls it a little each time.

    y[n] = g (c0 y[n-N] + c1 y[n-N-1] + c2 y[n-N-2] + c3 y[n-N-3])

    The taps are the loop's low-pass (1-s, s) times a fractional delay, so the pitch is right to the cent though N is
    whole. No tap looks back less than N samples: a whole period is one vector operation.
    """
    count = sample_count(seconds, rate)
    period = rate / frequency
    damping = 0.5 - 0.35 * voice.brightness
    # The low-pass (1-s, s) delays low harmonics by s; the rest is split in whole N and a fraction d in [0.5, 1.5).
    whole = int(period - damping - 0.5)
    d = period - damping - whole
    # Lagrange interpolation of second order through the delays 0, 1, 2.
    fraction = np.array([(d - 1) * (d - 2) / 2, d * (2 - d), d * (d - 1) / 2])
    # The string itself loses 60 dB in about 3 s at 220 Hz, high strings sooner.
    loss = 10 ** (-3 / (3.0 * (220 / frequency) ** 0.5 * frequency))
    taps = loss * np.convolve([1 - damping, damping], fraction)

    start = whole + len(taps) - 1
    string = np.zeros(start + count)
    string[len(taps) - 1 : start] = pick(voice, frequency, whole)
    for at in range(start, start + count, whole):
        end = min(at + whole, start + count)
        # A loop delay of N..N+3 samples means a window that starts N+3 back.
        string[at:end] = np.convolve(string[at - start : end - whole], taps, mode="valid")
    wave = string[start:].astype(np.float32)
    wave *= decay(count, rate, 6.0)
    return shape_ends(wave, rate, attack=0.001, release=0.04)


def pick(voice: Voice, frequency: float, length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One period of what the pick leaves on the string: noise without a mean, with the pick's comb, RMS about 1."""
    burst = np.random.default_rng([voice.seed, round(frequency * 100)]).standard_normal(length)
    # Plucked at 1/7 of its length, a string has no 7th harmonic.
    burst -= np.roll(burst, max(1, length // 7))
    burst -= burst.mean()
    return burst / max(float(np.sqrt(np.mean(burst**2))), 1e-9)
