"""A composition: what stays the same in all its takes. Sections of four bars, a chord to the bar, two motifs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharding.synth.score import deal, generator

SPARSE, DENSE = "sparse", "dense"
FORMS = ("AABA", "ABAB", "ABAC", "ABCA", "ABCB")
BARS = 4  # of a section

# Scale steps that chords stand on. A section opens on the tonic, which makes the mode audible, and closes on a chord
# that leads back to it.
CHORDS = {"major": (0, 1, 2, 3, 4, 5), "minor": (0, 2, 3, 4, 5, 6), "pentatonic": (0, 1, 2, 3, 4)}
CLOSES = {"major": (3, 4), "minor": (4, 6), "pentatonic": (3, 4)}

# Beats that a note of the melody may take, by density.
LENGTHS = {SPARSE: (1.0, 2.0), "medium": (0.5, 1.0, 1.5, 2.0), DENSE: (0.25, 0.5, 0.75, 1.0)}
PER_BEAT = {SPARSE: 1, "medium": 2, DENSE: 4}
"""Steps to a beat in which arpeggios and hi-hats run."""
STROKES = {SPARSE: 2, "medium": 3, DENSE: 6}
"""How many times in a bar chords, second line and bass are struck; in a bar of three beats, 5 is the most."""
MOVES = (-3, -2, -1, -1, -1, 1, 1, 1, 2, 3)

Rhythm = tuple[tuple[float, float], ...]
"""Notes of a bar as (beat they start on, beats they take)."""


@dataclass(frozen=True)
class Section:
    """What four bars are made of."""

    progression: tuple[int, ...]
    """Scale step of each bar's chord."""
    motifs: tuple[Rhythm, Rhythm]
    """Rhythms of the melody's bars, in turn."""
    moves: tuple[int, ...]
    """Scale steps from note to note of the melody."""
    chord_beats: tuple[float, ...]
    """When chords are struck, unless they are broken up."""
    line_beats: tuple[float, ...]
    """When the second line moves."""
    bass_beats: tuple[float, ...]
    """When the bass is."""
    arpeggio: tuple[int, ...]
    """Which of the chord's four notes follow each other."""
    kicks: tuple[float, ...]
    snares: tuple[float, ...]
    traded: bool
    """Whether melody and second line trade places, where there are both."""


@dataclass(frozen=True)
class Composition:
    """One piece, however it is played."""

    seed: int
    """The corpus' seed."""
    split: str
    """Compositions belong to a split from the start, so corpora of all sizes agree on it."""
    number: int
    """The composition's number in its split."""
    mode: str
    """``"major"``, ``"minor"`` or ``"pentatonic"``."""
    beats: int
    """Beats per bar, 4 or 3."""
    density: str
    """``"sparse"``, ``"medium"`` or ``"dense"``: notes per beat of everything that plays."""
    form: str
    """Letters of its sections; it starts over when they are through."""
    sections: dict[str, Section]
    """By letter."""

    @property
    def name(self) -> str:
        """Its name in the corpus, and the song_id of its takes."""
        return f"{self.split}-{self.number:05d}"


def draw_composition(seed: int, split: str, number: int) -> Composition:
    """Composition ``number`` (from 0) of a split; a pure function of its arguments."""
    beats = deal((4, 4, 4, 3), seed, number, f"study/{split}/beats")
    density = deal((SPARSE,) * 7 + ("medium",) * 6 + (DENSE,) * 7, seed, number, f"study/{split}/density")
    mode = deal(("major",) * 4 + ("minor",) * 4 + ("pentatonic",) * 2, seed, number, f"study/{split}/mode")
    chance = generator(seed, number, f"study/{split}/composition")
    form = FORMS[int(chance.integers(len(FORMS)))]
    sections = {letter: _section(letter, mode, beats, density, chance) for letter in sorted(set(form))}
    return Composition(seed, split, number, mode, beats, density, form, sections)


def _section(letter: str, mode: str, beats: int, density: str, chance: np.random.Generator) -> Section:
    middle = chance.choice(CHORDS[mode], size=BARS - 2)
    return Section(
        progression=(0, *map(int, middle), int(chance.choice(CLOSES[mode]))),
        motifs=(_rhythm(beats, density, chance), _rhythm(beats, density, chance)),
        moves=tuple(map(int, chance.choice(MOVES, size=11))),
        chord_beats=_strokes(beats, density, chance),
        line_beats=_strokes(beats, density, chance),
        bass_beats=_strokes(beats, density, chance),
        arpeggio=tuple(map(int, chance.permutation(4))),
        kicks=(0.0, *_some((1.0, 1.5, 2.0, 2.5) if beats == 4 else (1.5, 2.5), chance)),
        snares=((1.0, 3.0), (2.0,), (1.0, 3.0, 3.5))[int(chance.integers(3))] if beats == 4 else (1.0, 2.0),
        traded=bool(letter != "A" and chance.random() < 0.5),
    )


def _rhythm(beats: int, density: str, chance: np.random.Generator) -> Rhythm:
    """A bar of melody: lengths drawn until it is full. Now and then one of half a beat or less is a rest."""
    notes: list[tuple[float, float]] = []
    at, rested = 0.0, True  # the first one sounds
    while at < beats:
        length = min(float(chance.choice(LENGTHS[density])), beats - at)
        rested = not rested and length <= 0.5 and bool(chance.random() < 0.2)
        if not rested:
            notes.append((at, length))
        at += length
    return tuple(notes)


def _strokes(beats: int, density: str, chance: np.random.Generator) -> tuple[float, ...]:
    """Beats on which to strike, on half beats: the first one, one near the middle of the bar, the others anywhere.

    So no two strokes are more than 2.5 beats apart, which at the slowest tempo is less than the crop of 2.7 s.
    """
    middle = int(chance.integers(beats - 1, beats + 2)) if beats == 4 else int(chance.integers(2, 5))
    others = [half for half in range(1, 2 * beats) if half != middle]
    count = min(STROKES[density] - 2, len(others))
    halves = [middle, *map(int, chance.choice(others, size=count, replace=False))]
    return (0.0, *(half / 2 for half in sorted(halves)))


def _some(beats: tuple[float, ...], chance: np.random.Generator) -> tuple[float, ...]:
    kept = chance.random(len(beats)) < 0.5
    return tuple(beat for beat, keep in zip(beats, kept, strict=True) if keep)
