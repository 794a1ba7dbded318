"""A take written out: every note of every part, and how its channels are set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sharding.study.balance import bass_volume, instrument_volume, kit_volume
from sharding.study.composition import BARS, PER_BEAT, Composition, Section
from sharding.study.drumming import drum_bar
from sharding.study.families import HIGH, LOW, MIDDLE
from sharding.study.melody import sing
from sharding.study.midi import DRUM_CHANNEL, Channel, MidiNote, write_midi
from sharding.study.take import Take
from sharding.synth.harmony import chord, chord_steps, fold, pitch
from sharding.synth.score import generator

LEAD, CHORDS, LINE, BASS = range(4)
"""Channels; the drums have their own, :data:`DRUM_CHANNEL`."""

# MIDI keys: the middle of the melody, and the bottom of the octave of the chords' lowest notes, by register.
MELODY_MIDDLE = {LOW: 50, MIDDLE: 65, HIGH: 79}
CHORDS_LOWEST = {LOW: 41, MIDDLE: 53, HIGH: 67}
LINE_LOWEST = {LOW: 45, MIDDLE: 58, HIGH: 72}
BASS_LOWEST = 28
LEVEL_DB = {LEAD: 0.0, CHORDS: -4.0, LINE: -3.0, BASS: -6.0, DRUM_CHANNEL: -5.0}
VELOCITY = {LEAD: 100, CHORDS: 88, LINE: 92, BASS: 98}


def arrange(take: Take) -> bytes:
    """The take as a MIDI file, as long as the recording; its last notes may be held longer."""
    chance = generator(take.composition.seed, take.composition.number, f"study/{take.name}/arrange")
    notes = [_humanise(note, chance) for note in _notes(take)]
    return write_midi(notes, _channels(take, chance), take.bpm, take.composition.beats)


def _channels(take: Take, chance: np.random.Generator) -> dict[int, Channel]:
    """A channel for each part; the melody's instrument has the chords as well where it is alone."""

    def level(channel: int) -> float:
        return LEVEL_DB[channel] + float(chance.uniform(-1.5, 1.5))

    band = dict(enumerate(take.instruments)) | {CHORDS: take.instruments[1 % len(take.instruments)]}
    channels = {
        channel: Channel(program, instrument_volume(program, take.register, level(channel)))
        for channel, program in band.items()
    }
    if take.bass is not None:
        channels[BASS] = Channel(take.bass, bass_volume(take.bass, level(BASS)))
    if take.drum_kit is not None:
        channels[DRUM_CHANNEL] = Channel(take.drum_kit, kit_volume(take.drum_kit, level(DRUM_CHANNEL)))
    return channels


def _notes(take: Take) -> Iterator[MidiNote]:
    """In beats, exactly on them."""
    piece = take.composition
    end = take.recording.seconds * take.bpm / 60
    for start in range(0, math.ceil(end / piece.beats), BARS):
        section = piece.sections[piece.form[start // BARS % len(piece.form)]]
        for note in _section(take, piece, section):
            if start * piece.beats + note.start < end:
                yield replace(note, start=start * piece.beats + note.start)


def _section(take: Take, piece: Composition, section: Section) -> Iterator[MidiNote]:
    tonic = 48 + take.key
    three = len(take.band) > 2
    melody, line = (LINE, LEAD) if three and section.traded else (LEAD, LINE)
    for bar, beat, beats, key in sing(piece, section, tonic, MELODY_MIDDLE[take.register]):
        held = _held(take, beats)
        yield MidiNote(melody, bar * piece.beats + beat, held, key, VELOCITY[melody])
    for bar in range(BARS):
        at = bar * piece.beats
        root = section.progression[bar]
        for channel, beat, beats, key in _accompany(take, piece, section, root, tonic):
            yield MidiNote(channel, at + beat, _held(take, beats), key, VELOCITY[channel])
        if three:
            steps = chord_steps(piece.mode, root)
            for place, (beat, beats) in enumerate(_until_next(section.line_beats, piece.beats)):
                key = fold(tonic + pitch(piece.mode, steps[(bar + place) % 3]), LINE_LOWEST[take.register])
                yield MidiNote(line, at + beat, _held(take, beats), key, VELOCITY[line])
        if take.bass is not None:
            low = fold(tonic + pitch(piece.mode, root), BASS_LOWEST)
            for beat, beats in _until_next(section.bass_beats, piece.beats):
                yield MidiNote(BASS, at + beat, 0.9 * beats, low, VELOCITY[BASS])
        if take.drum_kit is not None:
            for beat, drum, velocity in drum_bar(piece, section, bar):
                yield MidiNote(DRUM_CHANNEL, at + beat, 0.2, drum, velocity)


def _accompany(
    take: Take, piece: Composition, section: Section, root: int, tonic: int
) -> Iterator[tuple[int, float, float, int]]:
    """What becomes of the chord in one bar."""
    keys = chord(piece.mode, root, tonic, CHORDS_LOWEST[take.register])
    if take.texture == "arpeggio":
        wide = (*keys, keys[0] + 12)
        per_beat = PER_BEAT[piece.density]
        for place in range(per_beat * piece.beats):
            yield CHORDS, place / per_beat, 1 / per_beat, wide[section.arpeggio[place % len(wide)]]
    else:
        for beat, beats in _until_next(section.chord_beats, piece.beats):
            yield from ((CHORDS, beat, beats, key) for key in (keys if take.texture == "block_chords" else keys[:1]))


def _until_next(beats: tuple[float, ...], bar: int) -> Iterator[tuple[float, float]]:
    """Each beat with the time until the next one, or until the end of the bar."""
    for beat, after in zip(beats, (*beats[1:], float(bar)), strict=True):
        yield beat, after - beat


def _held(take: Take, beats: float) -> float:
    """How many of its beats a note is held."""
    per_second = take.bpm / 60
    if take.articulation == "staccato":
        return min(0.35 * beats, 0.25 * per_second)
    return beats + 0.05 * per_second if take.articulation == "legato" else 0.85 * beats


def _humanise(note: MidiNote, chance: np.random.Generator) -> MidiNote:
    """A few milliseconds and a little strength off, as people are."""
    start = max(0.0, note.start + float(chance.normal(0, 0.008)))
    velocity = min(127, max(1, note.velocity + round(float(chance.normal(0, 5)))))
    return replace(note, start=start, velocity=velocity)
