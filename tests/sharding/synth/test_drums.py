"""The kit: where each drum sits in the spectrum, and the beat it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sharding.synth.compose import DRUMS, compose
from sharding.synth.drums import HAT, KICK, OPEN_HAT, SNARE, drum
from sharding.synth.render import render_parts
from sharding.synth.score import TEMPI, draw_score
from sharding.synth.waves import Samples, Voice


def centre(wave: Samples, rate: int) -> float:
    """Centre of the power spectrum, in Hz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(np.average(np.fft.rfftfreq(len(wave), 1 / rate), weights=power))


@pytest.mark.parametrize("rate", [16000, 44100])
def test_drums_are_where_drums_are(rate: int) -> None:
    kit = Voice("drums", seed=4)
    kick, snare, hat = (centre(drum(kit, name, rate), rate) for name in (KICK, SNARE, HAT))
    assert 40 < kick < 120
    assert 150 < snare < 0.6 * hat
    assert hat > 0.25 * rate


@pytest.mark.parametrize("rate", [16000, 44100])
def test_strokes_end_without_clicks_and_do_not_clip(rate: int, tolerances: Any) -> None:
    for name in (KICK, SNARE, HAT, OPEN_HAT):
        wave = drum(Voice("drums", seed=4), name, rate)
        peak = np.abs(wave).max()
        assert peak <= 1.2
        assert max(abs(wave[0]), abs(wave[-1])) <= tolerances.edge * peak


def test_an_open_hat_rings_longer() -> None:
    kit = Voice("drums", seed=4)
    assert len(drum(kit, OPEN_HAT, 16000)) > 3 * len(drum(kit, HAT, 16000))


@pytest.mark.parametrize("tempo", TEMPI)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_drums_keep_the_drawn_tempo(tempo: str, number: int, tolerances: Any) -> None:
    """The onsets' autocorrelation has its local peak at one bar, as exactly as a bar can be measured."""
    bpm = TEMPI[tempo][0] + 7.3 * (number + 0.5) / 3
    score = replace(draw_score(5, number), drums=True, tempo=tempo, bpm=bpm, beats=4)
    score = replace(score, recording=replace(score.recording, seconds=30.0))
    rate, frame = 8000, 40  # frames of 5 ms
    wave = render_parts(score, compose(score), rate, 30 * rate)[DRUMS]
    loudness = np.sqrt(np.mean(wave.reshape(-1, frame) ** 2, axis=1))
    onsets = np.maximum(np.diff(loudness), 0)
    onsets = np.convolve(onsets - onsets.mean(), np.hanning(9), "same")
    correlation = np.correlate(onsets, onsets, "full")[len(onsets) - 1 :]
    bar = 4 * 60 / bpm / (frame / rate)
    lags = np.arange(round(0.92 * bar), round(1.08 * bar))
    found = lags[correlation[lags].argmax()]
    assert abs(found / bar - 1) < tolerances.tempo
    assert correlation[found] > 0.5 * correlation[0]
