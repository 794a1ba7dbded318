"""Whole songs: the same every time, as loud and as long as drawn, and music rather than noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sharding.synth.render import render
from sharding.synth.score import draw_score

RATE = 8000


@pytest.mark.parametrize("number", range(12))
def test_songs_have_the_drawn_level_and_length_and_do_not_clip(number: int, tolerances: Any) -> None:
    score = draw_score(0, number)
    pcm = render(score, RATE, 2)
    assert pcm.dtype == np.int16
    assert pcm.shape == (round(score.recording.seconds * RATE), 2)
    signal = pcm / 32768
    assert np.abs(signal).max() < 0.95
    level = 10 * np.log10(np.mean(signal.mean(axis=1) ** 2))
    assert level == pytest.approx(score.recording.level_db, abs=tolerances.level_db)
    assert np.abs(signal[-1]).max() < 1e-3
    assert abs(signal.mean()) < tolerances.mean * signal.std()


def test_a_song_is_deterministic_and_another_seed_is_another_song() -> None:
    assert np.array_equal(render(draw_score(1, 5), RATE), render(draw_score(1, 5), RATE))
    length = 20 * RATE
    first, second = (render(draw_score(seed, 5), RATE, 1)[:length, 0] for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_width_is_heard_in_stereo_only() -> None:
    score = draw_score(0, 8)
    sides = []
    for width in (0.0, 1.0):
        wide = replace(score, recording=replace(score.recording, width=width, room_db=-60.0, noise_db=-90.0))
        left, right = render(wide, RATE, 2).T.astype(np.float64)
        sides.append(np.mean((left - right) ** 2) / np.mean((left + right) ** 2))
    assert sides[0] < 1e-4
    assert sides[1] > 0.01
    assert render(score, RATE, 1).shape[1] == 1


def test_a_song_is_the_same_music_at_any_rate() -> None:
    """Loudness over time, in frames of 50 ms, agrees between a song played at 8 and at 16 kHz."""
    score = draw_score(0, 4)
    quiet = replace(score, recording=replace(score.recording, noise_db=-90.0, room_db=-60.0))
    envelopes = []
    for rate in (8000, 16000):
        signal = render(quiet, rate, 1)[:, 0].astype(np.float64)
        frame = rate // 20
        envelopes.append(np.sqrt(np.mean(signal[: 400 * frame].reshape(400, frame) ** 2, axis=1)))
    assert np.corrcoef(envelopes)[0, 1] > 0.95


def test_songs_are_music_rather_than_noise() -> None:
    """Spectra of 128 ms are peaky: their flatness (geometric over arithmetic mean) is far from white noise's 0.56."""
    for number in range(6):
        signal = render(draw_score(0, number), RATE, 1)[:, 0].astype(np.float64)
        frames = signal[: len(signal) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
        power = np.abs(np.fft.rfft(frames, axis=1))[:-1, 4:400] ** 2 + 1e-9
        flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
        assert np.median(flatness) < 0.2
