"""What the drummer plays: a beat to each section, by its density, and a fill into the next one."""

from __future__ import annotations

from collections.abc import Iterator

from sharding.study.composition import BARS, PER_BEAT, Composition, Section

# Keys of the General MIDI drum map.
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 42, 46, 49, 51
TOMS = (50, 47, 45)
Stroke = tuple[float, int, int]
"""Beat, drum, velocity."""


def drum_bar(piece: Composition, section: Section, bar: int) -> Iterator[Stroke]:
    """One bar, beats counted from its start."""
    last = bar == BARS - 1
    for beat in section.kicks:
        yield beat, KICK, 110
    for beat in section.snares:
        if not last or beat < piece.beats - 1:
            yield beat, SNARE, 100
    if bar == 0:
        yield 0.0, CRASH, 90
    cymbal = RIDE if section.traded else CLOSED_HAT
    per_beat = PER_BEAT[piece.density]
    for place in range(per_beat * (piece.beats - last)):
        opens = cymbal == CLOSED_HAT and place == per_beat * piece.beats - 1
        yield place / per_beat, OPEN_HAT if opens else cymbal, 85 if place % per_beat == 0 else 60
    if last:
        strokes = max(2, per_beat)
        for place in range(strokes):
            yield piece.beats - 1 + place / strokes, TOMS[min(place, len(TOMS) - 1)], 95
