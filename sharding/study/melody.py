"""Melodies over a chord progression, in scale steps: they open on the chord, lean on it, and come to rest."""

from __future__ import annotations

from collections.abc import Iterator

from sharding.study.composition import BARS, Composition, Section
from sharding.synth.harmony import SCALES, chord_steps, pitch

REACH = 9  # semitones that a melody may stray from its middle
Sung = tuple[int, float, float, int]
"""Bar, beat, beats, MIDI key."""


def sing(piece: Composition, section: Section, tonic: int, middle: int) -> Iterator[Sung]:
    """The melody of one section.

    Question and answer: bars 1 and 3 have the first motif, bar 2 the second, bar 4 half of the second and a long note.

    Args:
        piece: for mode and meter.
        section: for chords, motifs and moves.
        tonic: MIDI key of the tonic, in any octave.
        middle: MIDI key round which the melody stays, within ``REACH`` and the step to the next chord note.
    """
    step, sung = nearest(piece.mode, range(-7, 7), tonic, middle), 0
    for bar in range(BARS):
        harmony = chord_steps(piece.mode, section.progression[bar])
        rhythm = section.motifs[bar % 2]
        if bar == BARS - 1:
            half = float(piece.beats // 2)
            opening = ((beat, min(beats, half - beat)) for beat, beats in rhythm if beat < half)
            rhythm = (*opening, (half, piece.beats - half))
        for beat, beats in rhythm:
            move = section.moves[sung % len(section.moves)]
            if abs(tonic + pitch(piece.mode, step + move) - middle) > REACH:
                move = -move
            step += move
            if beat in {0.0, piece.beats // 2}:
                step = nearest(piece.mode, harmony, tonic, tonic + pitch(piece.mode, step))
            sung += 1
            yield bar, beat, beats, tonic + pitch(piece.mode, step)


def nearest(mode: str, steps: range | tuple[int, ...], tonic: int, key: int) -> int:
    """The scale step, of the names of ``steps`` in any octave, that lies nearest to a MIDI key."""
    size = len(SCALES[mode])
    found = (step + size * round((key - tonic - pitch(mode, step)) / 12) for step in steps)
    return min(found, key=lambda step: abs(tonic + pitch(mode, step) - key))
