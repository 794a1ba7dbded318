"""The made-up music: the same every time, with notes where they are written and quiet at its end."""

from __future__ import annotations

import pytest
import torch

from clmr.augment.listen.song import BEAT, MELODY, PEAK, make_song
from tests.clmr.augment.signals import RATES


@pytest.mark.parametrize("sample_rate", RATES)
def test_six_seconds_at_its_peak_the_same_every_time(sample_rate: int) -> None:
    song = make_song(sample_rate)
    assert song.shape == (1, 1, 6 * sample_rate)
    assert song.dtype == torch.float32
    assert song.abs().max().item() == pytest.approx(PEAK)
    assert torch.equal(song, make_song(sample_rate))


def test_the_melody_is_heard() -> None:
    """In the octave of the melody the strongest tone is the written note, while it is held."""
    rate = 22050
    song = make_song(rate)[0, 0]
    hz = torch.fft.rfftfreq(4 * rate, 1 / rate)
    for beat, number, held in MELODY:
        begin, end = (round(at * BEAT * rate) for at in (beat, beat + held))
        part = song[begin:end] * torch.hann_window(end - begin)
        spectrum = torch.fft.rfft(part, 4 * rate).abs()
        spectrum[(hz < 380) | (hz > 850)] = 0
        written = 440 * 2 ** ((number - 69) / 12)
        found = hz[spectrum.argmax()].item()
        assert abs(found / written - 1) < 0.02, (beat, number, found)


def test_it_ends_in_silence() -> None:
    song = make_song(22050)[0, 0].abs()
    assert song[-6615:].max() == 0
    assert song[-22050:-11025].max() > 0.1
