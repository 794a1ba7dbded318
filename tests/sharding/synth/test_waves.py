"""Phases, tables and envelopes."""

from __future__ import annotations

import numpy as np
import pytest

from sharding.synth.waves import cycles, decay, partials_below_nyquist, read_table, shape_ends, wave_table


def test_a_table_of_one_harmonic_is_a_sine() -> None:
    phase = np.linspace(0, 1, 777, dtype=np.float32)
    # Schroeder's phase of the only harmonic is pi: a negative cosine of unit RMS.
    expected = -np.sqrt(2) * np.cos(2 * np.pi * phase.astype(np.float64))
    assert np.abs(read_table(wave_table([1.0]), phase) - expected).max() < 1e-5


def test_tables_have_the_asked_harmonics_and_unit_rms() -> None:
    amplitudes = np.array([1.0, 0.0, 0.5, 0.25])
    table = wave_table(amplitudes)[:-1].astype(np.float64)
    measured = np.abs(np.fft.rfft(table))[1:5]
    assert measured / measured[0] == pytest.approx(amplitudes, abs=1e-6)
    assert np.mean(table**2) == pytest.approx(1, abs=1e-6)


def test_phases_stay_in_range_and_keep_the_mean_pitch() -> None:
    rate, seconds = 44100, 30
    for vibrato in (0.0, 0.01):
        phase = cycles(440.3, seconds * rate, rate, vibrato)
        assert phase.min() >= 0
        assert phase.max() <= 1
        turns = np.count_nonzero(np.diff(phase) < -0.5)
        assert abs(turns - 440.3 * seconds) < 2


def test_decay_is_down_by_60_db_in_time() -> None:
    assert decay(16000, 8000, 1.0)[8000] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("length", [1, 2, 3, 50, 4000])
def test_ends_are_shaped_even_of_the_shortest_notes(length: int) -> None:
    wave = shape_ends(np.ones(length, dtype=np.float32), 8000, attack=0.1, release=0.1)
    assert wave.max() <= 1
    if length > 1:
        assert wave[0] == 0
        assert wave[-1] == 0
    if length == 4000:
        assert (wave[800:3200] == 1).all()


def test_partials_stay_below_half_the_rate() -> None:
    assert partials_below_nyquist(100, 16000, 40) == 40
    assert partials_below_nyquist(1000, 16000, 40) == 7
    assert partials_below_nyquist(12000, 16000, 40) == 1
