"""The recording chain against SciPy and by its own promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import signal as dsp
from scipy import stats

from sharding.synth.room import add_noise, convolve, level_out, room_response, root_mean_square, set_level, shelf
from sharding.synth.score import Recording, draw_recording

RATE = 16000


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def flat(recording: Recording) -> Recording:
    return replace(recording, low_shelf_db=0.0, high_shelf_db=0.0)


def noise(channels: int, seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return chance().standard_normal((channels, round(seconds * RATE)), dtype=np.float32)


def test_convolution_is_convolution(tolerances: Any) -> None:
    recording = flat(draw_recording(0, 0))
    response = room_response(recording, RATE, 2, chance())
    signal = noise(2, 9.5)  # more than one block
    made = convolve(signal, response, recording, RATE)
    for channel in range(2):
        whole = dsp.fftconvolve(signal[channel].astype(np.float64), response[channel])[: signal.shape[1]]
        assert np.abs(made[channel] - whole).max() < tolerances.filter_share * np.abs(whole).max()


def test_shelves_are_scipys(tolerances: Any) -> None:
    """The analogue prototype through scipy's bilinear transform, run as a recursive filter in the time domain."""
    recording = replace(draw_recording(0, 0), low_shelf_db=3.0, high_shelf_db=-4.0)
    made = convolve(noise(1, 6), np.ones((1, 1), dtype=np.float32), recording, RATE)[0]
    expected = noise(1, 6)[0].astype(np.float64)
    for gain_db, corner, high in ((3.0, 250, False), (-4.0, 2500, True)):
        root, w = 10 ** (gain_db / 40), 2 * RATE * np.tan(np.pi * corner / RATE)
        analogue = ([root, w], [1 / root, w]) if high else ([1, root * w], [1, w / root])
        expected = dsp.lfilter(*dsp.bilinear(*analogue, fs=RATE), expected)
    assert np.abs(made - expected).max() < tolerances.filter_share * np.abs(expected).max()


@pytest.mark.parametrize("high", [False, True])
def test_a_shelf_has_its_gain_on_its_side_only(high: bool) -> None:
    unit = np.exp(1j * np.array([1e-4, np.pi - 1e-4]))
    gains = 20 * np.log10(np.abs(shelf(4.0, 1000, high=high, unit=unit, rate=RATE)))
    assert gains == pytest.approx([0, 4] if high else [4, 0], abs=0.01)


def test_the_room_falls_silent_in_its_time() -> None:
    recording = replace(draw_recording(0, 0), room_seconds=0.8, room_db=-10.0)
    response = room_response(recording, RATE, 2, chance())
    assert (response[:, 0] == 1).all()
    tail = response[:, 1:].astype(np.float64)
    assert 10 * np.log10((tail**2).sum(axis=1)) == pytest.approx([-10, -10], abs=0.01)
    # Schroeder's backward integral: what is left of the energy, -5 to -35 dB of it, on a line that reaches -60 dB.
    left = 10 * np.log10(np.cumsum(tail[0, ::-1] ** 2)[::-1] / (tail[0] ** 2).sum())
    inside = (left < -5) & (left > -35)
    slope = stats.linregress(np.flatnonzero(inside) / RATE, left[inside]).slope
    assert -60 / slope == pytest.approx(0.8, rel=0.1)
    assert abs(np.sum(tail[0] * tail[1])) < 0.1 * 0.1  # each has the energy -10 dB = 0.1


def test_the_level_is_that_of_the_mono_downmix(tolerances: Any) -> None:
    for channels in (1, 2):
        signal = noise(channels, 2)
        set_level(signal, -25.0)
        downmix = root_mean_square(signal.mean(axis=0))
        assert 20 * np.log10(downmix) == pytest.approx(-25, abs=tolerances.level_db)


def test_peaks_are_bent_not_cut() -> None:
    signal = np.zeros((1, 1000), dtype=np.float32)
    signal[0, :10] = np.arange(10)
    set_level(signal, -20.0)
    assert np.abs(signal).max() < 0.95
    assert (np.diff(signal[0, :10]) > 0).all()


def test_the_fader_takes_a_pause_in_the_loudness_away() -> None:
    signal = noise(2, 24)
    signal[:, 8 * RATE : 16 * RATE] *= 0.2  # 14 dB softer for 8 s
    level_out(signal, RATE, chance())
    levels = [20 * np.log10(root_mean_square(signal[:, at * RATE : (at + 4) * RATE])) for at in (2, 10, 18)]
    assert max(levels) - min(levels) < 6  # the random ride alone may differ by that


def test_noise_is_as_far_below_as_asked() -> None:
    clean = noise(1, 4)
    noisy = clean.copy()
    add_noise(noisy, -40.0, np.random.default_rng(2))
    assert 20 * np.log10(root_mean_square(noisy - clean) / root_mean_square(clean)) == pytest.approx(-40, abs=0.2)
