"""A score written out: who plays which note when. Sections with material of their own, bars within them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sharding.synth.drums import HAT, KICK, OPEN_HAT, SNARE
from sharding.synth.harmony import PROGRESSIONS, SCALES, chord, chord_steps, fold, pitch
from sharding.synth.score import ARPEGGIO, CHORDS, Score, generator

T = TypeVar("T")

FORMS = ("AABA", "ABAB", "ABAC", "ABCA")
SECTION_SECONDS = 7.5
LEAD, ACCOMPANIMENT, THIRD, BASS, DRUMS = "lead", "accompaniment", "third", "bass", "drums"

ABOVE = {LEAD: 14, THIRD: 9}  # semitones from the bottom of the accompaniment's octave to that of the part's
BASS_LOWEST = 33  # MIDI number of the A below the bass clef

CHORD_RHYTHMS = ((0.0,), (0.0, 2.0), (0.0, 1.5, 2.5), (0.0, 1.0, 2.0, 3.0), (1.0, 3.0), (0.5, 1.5, 2.5, 3.5))
ARPEGGIOS = ((0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 2, 3, 2, 1), (0, 2, 1, 2), (0, 3, 1, 2))
BASS_RHYTHMS = ((0.0,), (0.0, 2.0), (0.0, 1.5, 2.0), (0.0, 1.0, 2.0, 3.0), (0.0, 1.5, 2.0, 3.5))
KICKS = ((0.0, 2.0), (0.0, 1.0, 2.0, 3.0), (0.0, 2.5), (0.0, 1.5, 2.0))
SNARES = ((1.0, 3.0), (2.0,), (1.0, 3.0, 3.5))
HATS_PER_BEAT = (1, 2, 2)


@dataclass(frozen=True, order=True)
class Note:
    """A note, or a stroke on a drum."""

    part: str
    """``"lead"``, ``"accompaniment"``, ``"third"``, ``"bass"`` or ``"drums"``."""
    start: float
    """Seconds from the start of the song."""
    seconds: float
    """How long it sounds (drums ring as long as they like)."""
    sound: int | str
    """MIDI number, or the drum's name."""
    velocity: float
    """Loudness, 0 to 1."""


@dataclass(frozen=True)
class Material:
    """What the sections of one letter are made of."""

    progression: tuple[int, ...]
    rhythm: tuple[tuple[tuple[float, float], ...], ...]  # of two bars of melody: (beat, beats) pairs
    moves: tuple[int, ...]
    arpeggio: tuple[int, ...]
    chord_rhythm: tuple[float, ...]
    bass_rhythm: tuple[float, ...]
    kicks: tuple[float, ...]
    snares: tuple[float, ...]
    hats_per_beat: int
    resting: str | None
    swapped: bool


def compose(score: Score) -> list[Note]:
    """Every note of the song in order of part and time; the last ones may begin after ``score.recording.seconds``."""
    chance = generator(score.seed, score.number, "compose")
    form = FORMS[int(chance.integers(len(FORMS)))]
    material = {letter: _material(score, letter, chance) for letter in sorted(set(form))}
    bar_seconds = score.beats * 60 / score.bpm
    bars = max(2, 2 * round(SECTION_SECONDS / bar_seconds / 2))
    notes: list[Note] = []
    bar = 0
    while bar * bar_seconds < score.recording.seconds:
        section, within = divmod(bar, bars)
        now = material[form[section % len(form)]]
        playing = (note for note in _bar(score, now, within) if note.part != now.resting)
        notes.extend(_humanise(note, bar * bar_seconds, score, chance) for note in playing)
        bar += 1
    return sorted(notes)


def _material(score: Score, letter: str, chance: np.random.Generator) -> Material:
    def one_of(choices: tuple[T, ...]) -> T:
        return choices[int(chance.integers(len(choices)))]

    rhythm = tuple(tuple(_melody_rhythm(score.beats, chance)) for _ in range(2))
    return Material(
        progression=one_of(PROGRESSIONS[score.mode]),
        rhythm=rhythm,
        moves=tuple(int(move) for move in chance.choice((-2, -1, -1, 0, 1, 1, 2), size=8)),
        arpeggio=one_of(ARPEGGIOS),
        chord_rhythm=one_of(CHORD_RHYTHMS),
        bass_rhythm=one_of(BASS_RHYTHMS),
        kicks=one_of(KICKS),
        snares=one_of(SNARES),
        hats_per_beat=one_of(HATS_PER_BEAT),
        # The section every form opens with has the whole band; in the others someone may rest or trade places.
        resting=None if letter == "A" or chance.random() < 0.5 else one_of((LEAD, THIRD, BASS, DRUMS)),
        swapped=bool(letter != "A" and chance.random() < 0.5),
    )


def _melody_rhythm(beats: int, chance: np.random.Generator) -> Iterator[tuple[float, float]]:
    at = 0.0
    while at < beats:
        length = min(float(chance.choice((0.5, 1.0, 1.5, 2.0), p=(0.35, 0.4, 0.1, 0.15))), beats - at)
        if at == 0 or chance.random() > 0.12:
            yield at, length
        at += length


def _bar(score: Score, now: Material, number: int) -> Iterator[Note]:
    """One bar from beat 0, in beats."""
    root = now.progression[number % len(now.progression)]
    tonic = 48 + score.key
    melody, line = (THIRD, LEAD) if now.swapped and score.third else (LEAD, THIRD)

    step = _near(score, tonic, chord_steps(score.mode, root)[now.moves[0] % 3], score.lowest + ABOVE[melody] + 5)
    for place, (beat, beats) in enumerate(now.rhythm[number % 2]):
        step += now.moves[place % len(now.moves)] if place else 0
        yield Note(melody, beat, beats, tonic + pitch(score.mode, step), 0.9)
    if score.third:
        steps = chord_steps(score.mode, root)
        half = score.beats / 2
        for place in range(2):
            note = fold(tonic + pitch(score.mode, steps[(number + place) % 3]), score.lowest + ABOVE[line])
            yield Note(line, place * half, half, note, 0.8)
    yield from _accompany(score, now, chord(score.mode, root, tonic, score.lowest))
    if score.bass:
        low = fold(tonic + pitch(score.mode, root), BASS_LOWEST)
        starts = [beat for beat in now.bass_rhythm if beat < score.beats]
        for beat, end in zip(starts, [*starts[1:], float(score.beats)], strict=True):
            yield Note(BASS, beat, end - beat, low, 0.9)
    if score.drums:
        yield from _drums(score, now)


def _near(score: Score, tonic: int, step: int, middle: int) -> int:
    """The scale step with the same name as ``step`` that lies nearest to the MIDI number ``middle``."""
    octaves = round((middle - tonic - pitch(score.mode, step)) / 12)
    return step + octaves * len(SCALES[score.mode])


def _accompany(score: Score, now: Material, notes: tuple[int, ...]) -> Iterator[Note]:
    if score.texture == ARPEGGIO:
        wide = (*notes, notes[0] + 12)
        for place in range(2 * score.beats):
            yield Note(ACCOMPANIMENT, place / 2, 0.5, wide[now.arpeggio[place % len(now.arpeggio)]], 0.8)
    elif score.texture == CHORDS:
        starts = [beat for beat in now.chord_rhythm if beat < score.beats]
        for beat, end in zip(starts, [*starts[1:], float(score.beats)], strict=True):
            for note in notes:
                yield Note(ACCOMPANIMENT, beat, end - beat, note, 0.7)
    else:
        yield Note(ACCOMPANIMENT, 0, score.beats, notes[0], 0.8)
        yield Note(ACCOMPANIMENT, score.beats / 2, score.beats / 2, notes[-1], 0.7)


def _drums(score: Score, now: Material) -> Iterator[Note]:
    for name, beats, velocity in ((KICK, now.kicks, 1.0), (SNARE, now.snares, 0.8)):
        for beat in beats:
            if beat < score.beats:
                yield Note(DRUMS, beat, 0.0, name, velocity)
    strokes = now.hats_per_beat * score.beats
    for place in range(strokes):
        name = OPEN_HAT if place == strokes - 1 else HAT
        yield Note(DRUMS, place / now.hats_per_beat, 0.0, name, 0.7 if place % now.hats_per_beat == 0 else 0.45)


def _humanise(note: Note, bar_start: float, score: Score, chance: np.random.Generator) -> Note:
    """From beats to seconds, by the song's articulation, a few milliseconds off as people are."""
    beat_seconds = 60 / score.bpm
    held = note.seconds * beat_seconds
    if note.part not in {BASS, DRUMS}:
        held = {"staccato": min(0.4 * held, 0.16), "plain": 0.8 * held, "legato": held + 0.06}[score.articulation]
    start = max(0.0, bar_start + note.start * beat_seconds + float(chance.normal(0, 0.004)))
    # Lengths in steps of 5 ms and three loudnesses, so that a note heard before need not be made again.
    velocity = note.velocity * (0.85, 1.0, 1.15)[int(chance.integers(3))]
    return Note(note.part, start, round(held / 0.005) * 0.005, note.sound, min(velocity, 1.0))
