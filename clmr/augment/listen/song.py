"""Six seconds of music made here, so that every effect can be judged without a recording at hand.

Four chords, a melody, a bass and drums at 160 beats a minute; the last bar stops early, so that echoes and
reverberation are heard on their own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clmr import draw

BEAT = 0.375  # seconds
BARS = 4
PEAK = 0.6  # room for effects that add

# Bass note and chord of each bar as MIDI numbers: A minor, F, C, G.
CHORDS = ((45, (57, 60, 64)), (41, (57, 60, 65)), (48, (55, 60, 64)), (43, (55, 59, 62)))
# The melody: beat, MIDI number, beats held.
MELODY = (
    *((0, 76, 1), (1, 72, 0.5), (1.5, 74, 0.5), (2, 76, 1), (3, 69, 1)),
    *((4, 77, 1.5), (5.5, 76, 0.5), (6, 74, 1), (7, 72, 1)),
    *((8, 79, 1), (9, 76, 0.5), (9.5, 72, 0.5), (10, 74, 1), (11, 76, 1)),
    *((12, 74, 0.75), (12.75, 71, 0.75), (13.5, 67, 1)),
)
STOP = 14  # beats: what sounds after it is ringing out


def make_song(sample_rate: int) -> Tensor:
    """The piece, the same every time.

    Args:
        sample_rate: samples per second.

    Returns:
        float32, shape ``[1, 1, T]``, six seconds, peak 0.6.
    """
    song = torch.zeros(round(4 * BARS * BEAT * sample_rate), dtype=torch.float64)
    for beat, number, held in MELODY:
        _add(song, beat, 0.30 * _note(number, held, sample_rate, bright=0.7, decay=1.2), sample_rate)
    for bar, (bass, chord) in enumerate(CHORDS):
        for beat in (0, 1.5, 2.5):
            if 4 * bar + beat < STOP:
                _add(song, 4 * bar + beat, 0.34 * _note(bass, 0.9, sample_rate, bright=0.5, decay=2), sample_rate)
        for beat in (0, 1.5):
            for number in chord:
                _add(song, 4 * bar + beat, 0.11 * _note(number, 1.4, sample_rate, bright=0.45, decay=2), sample_rate)
    for half_beat in range(2 * STOP):
        beat = half_beat / 2
        _add(song, beat, (0.07 if half_beat % 2 else 0.11) * _hiss(half_beat, 45, 0.06, sample_rate), sample_rate)
        if half_beat % 4 == 0:
            drum = 0.55 * _kick(sample_rate) if half_beat % 8 == 0 else 0.4 * _snare(half_beat, sample_rate)
            _add(song, beat, drum, sample_rate)
        if half_beat % 8 == 5:
            _add(song, beat, 0.45 * _kick(sample_rate), sample_rate)
    return (song * (PEAK / song.abs().max())).float().view(1, 1, -1)


def _add(song: Tensor, beat: float, sound: Tensor, sample_rate: int) -> None:
    begin = round(beat * BEAT * sample_rate)
    length = min(len(sound), len(song) - begin)
    song[begin : begin + length] += sound[:length]


def _seconds(duration: float, sample_rate: int) -> Tensor:
    return torch.arange(round(duration * sample_rate), dtype=torch.float64) / sample_rate


def _note(number: int, held: float, sample_rate: int, bright: float, decay: float) -> Tensor:
    """A plucked tone: partial k at ``bright^(k-1)`` of the first, the higher ones dying away sooner."""
    release = 0.06
    time = _seconds(held * BEAT + release, sample_rate)
    hz = 440 * 2 ** ((number - 69) / 12)
    partials = [k for k in range(1, 13) if k * hz < 0.45 * sample_rate]
    tone = sum(
        (bright ** (k - 1) * torch.exp(-decay * math.sqrt(k) * time) * torch.sin(2 * math.pi * k * hz * time))
        for k in partials
    )
    assert isinstance(tone, Tensor)
    attack = (time / 0.004).clamp(max=1)
    return tone * attack * ((held * BEAT + release - time) / release).clamp(0, 1)


def _kick(sample_rate: int) -> Tensor:
    """A sine that falls from 160 to 50 Hz."""
    time = _seconds(0.22, sample_rate)
    # phase = integral of 50 + 110 exp(-t / 0.03)
    phase = 50 * time + 110 * 0.03 * (1 - torch.exp(-time / 0.03))
    return torch.sin(2 * math.pi * phase) * torch.exp(-14 * time) * ((0.22 - time) / 0.02).clamp(0, 1)


def _snare(number: int, sample_rate: int) -> Tensor:
    """Noise over a short tone."""
    noise = _hiss(number, 22, 0.16, sample_rate, stream="snare")
    time = torch.arange(len(noise), dtype=torch.float64) / sample_rate
    return 0.5 * noise + torch.sin(2 * math.pi * 190 * time) * torch.exp(-28 * time)


def _hiss(number: int, decay: float, duration: float, sample_rate: int, stream: str = "hat") -> Tensor:
    """Noise that dies away, its lows taken off by a difference of neighbours."""
    time = _seconds(duration, sample_rate)
    noise = draw.normal(torch.tensor([number]), stream, len(time) + 1)[0].double()
    return 0.7 * noise.diff() * torch.exp(-decay * time)
