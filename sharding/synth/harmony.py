"""Scales, chord progressions and how a chord is laid out."""

from __future__ import annotations

# Semitones above the tonic.
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}

# Scale steps of the chords' roots, a bar each. Pentatonic songs walk their own five steps.
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 0, 4), (0, 3, 4, 0)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 3, 5, 4)),
    "pentatonic": ((0, 4, 3, 0), (0, 1, 4, 3), (0, 3, 4, 3), (0, 0, 4, 4)),
}


def pitch(mode: str, step: int) -> int:
    """Semitones above the tonic of the scale's ``step``-th note; steps go on through the octaves, both ways."""
    octave, degree = divmod(step, len(SCALES[mode]))
    return 12 * octave + SCALES[mode][degree]


def chord_steps(mode: str, root: int) -> tuple[int, ...]:
    """The chord on scale step ``root``, as steps: every other note of the scale."""
    return (root, root + 2, root + 4) if mode != "pentatonic" else (root, root + 2, root + 3)


def chord(mode: str, root: int, tonic: int, lowest: int) -> tuple[int, ...]:
    """The chord in close position, each note in the octave that starts at MIDI number ``lowest``, upwards."""
    return tuple(sorted(fold(tonic + pitch(mode, step), lowest) for step in chord_steps(mode, root)))


def fold(note: int, lowest: int) -> int:
    """The same note name within the octave [lowest, lowest + 12)."""
    return lowest + (note - lowest) % 12
