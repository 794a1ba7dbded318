"""Songs as written music: keys, articulation, sections, rests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from sharding.synth.compose import ACCOMPANIMENT, BASS, DRUMS, LEAD, THIRD, Note, compose
from sharding.synth.harmony import SCALES, chord, fold, pitch
from sharding.synth.score import Score, draw_score

SONGS = [draw_score(3, number) for number in range(30)]


def pitches(notes: Iterable[Note]) -> list[int]:
    return [note.sound for note in notes if isinstance(note.sound, int)]


def parts_of(score: Score) -> set[str]:
    played = {LEAD: True, ACCOMPANIMENT: True, THIRD: score.third is not None, BASS: score.bass, DRUMS: score.drums}
    return {part for part, plays in played.items() if plays}


@pytest.mark.parametrize("score", SONGS[:10], ids=lambda score: str(score.number))
def test_every_note_lies_in_the_key_and_in_range(score: Score) -> None:
    notes = compose(score)
    assert {(note - score.key) % 12 for note in pitches(notes)} <= set(SCALES[score.mode])
    assert min(pitches(notes)) >= 33
    assert max(pitches(notes)) <= 100
    assert all(note.seconds > 0 for note in notes if note.part != DRUMS)
    assert all(0 < note.velocity <= 1 for note in notes)
    assert notes == sorted(notes)


@pytest.mark.parametrize("score", SONGS, ids=lambda score: str(score.number))
def test_the_whole_band_plays_and_most_of_the_time(score: Score) -> None:
    """A tag of an instrument is true of most windows of the song, not only of the song."""
    notes = [note for note in compose(score) if note.start < score.recording.seconds]
    assert {note.part for note in notes} == parts_of(score)
    bar = score.beats * 60 / score.bpm
    bars = int(score.recording.seconds / bar)
    for part in parts_of(score):
        heard = {int((note.start + 0.05) / bar) for note in notes if note.part == part}
        assert len(heard) >= 0.4 * bars, part


def test_staccato_is_short_and_legato_joins() -> None:
    lengths = {}
    for articulation in ("staccato", "plain", "legato"):
        notes = [note for note in compose(replace(SONGS[0], articulation=articulation)) if note.part == LEAD]
        lengths[articulation] = [note.seconds for note in notes]
    assert max(lengths["staccato"]) <= 0.16
    assert min(lengths["legato"]) > 0.8 * 0.5 * 60 / SONGS[0].bpm
    assert sum(lengths["staccato"]) < sum(lengths["plain"]) < sum(lengths["legato"])


def test_textures_are_what_they_are_called() -> None:
    """An arpeggio sounds one note after the other, chords three at a time, a drone seldom moves."""
    notes = {}
    for texture in ("arpeggio", "chords", "drone"):
        played = [note for note in compose(replace(SONGS[1], texture=texture)) if note.part == ACCOMPANIMENT]
        starts = np.sort([note.start for note in played])
        together = np.count_nonzero(np.diff(starts) < 0.04) / len(starts)
        notes[texture] = (together, len(starts))
    assert notes["arpeggio"][0] == 0
    assert notes["chords"][0] > 0.6
    assert notes["drone"][1] <= notes["arpeggio"][1] / 3


def test_sections_differ_and_come_back() -> None:
    """Some section of a song repeats another's melody, and some section has one of its own."""
    for score in SONGS[:10]:
        long = replace(score, recording=replace(score.recording, seconds=60.0))
        bar = score.beats * 60 / score.bpm
        bars = max(2, 2 * round(7.5 / bar / 2))
        sections: dict[int, list[int | str]] = {}
        for note in compose(long):
            if note.part == LEAD:
                sections.setdefault(int((note.start + 0.05) / (bars * bar)), []).append(note.sound)
        melodies = [tuple(sections.get(number, ())) for number in range(4)]
        assert 2 <= len(set(melodies)) <= 3


def test_writing_out_is_deterministic() -> None:
    assert compose(SONGS[2]) == compose(SONGS[2])
    assert compose(SONGS[2]) != compose(replace(SONGS[2], seed=99))


def test_scales_go_on_through_the_octaves() -> None:
    assert [pitch("major", step) for step in (-1, 0, 6, 7, 9)] == [-1, 0, 11, 12, 16]
    assert [pitch("pentatonic", step) for step in (-1, 5)] == [-3, 12]


def test_chords_are_close_and_start_at_their_octave() -> None:
    assert chord("major", 0, 60, 48) == (48, 52, 55)
    assert chord("minor", 0, 57, 57) == (57, 60, 64)
    assert chord("pentatonic", 0, 60, 60) == (60, 64, 67)
    assert fold(61, 62) == 73
