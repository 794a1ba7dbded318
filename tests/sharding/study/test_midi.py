"""MIDI files, read back by a reader of the tests' own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError
from sharding.study.midi import TICKS, Channel, MidiNote, variable_length, write_midi
from tests.sharding.study.midi_reader import read_midi

CHANNELS = {0: Channel(40, 100), 9: Channel(0, 64), 15: Channel(127, 1)}
NOTES = st.builds(
    MidiNote,
    channel=st.sampled_from(sorted(CHANNELS)),
    start=st.floats(0, 400),
    beats=st.floats(0.001, 300),
    key=st.integers(0, 127),
    velocity=st.integers(1, 127),
)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (0x7F, "7f"), (0x80, "8100"), (0x2000, "c000"), (0x1FFFFF, "ffff7f"), (0x0FFFFFFF, "ffffff7f")],
)
def test_numbers_are_written_as_in_the_specification(value: int, written: str) -> None:
    assert variable_length(value).hex() == written


@settings(max_examples=60)
@given(notes=st.lists(NOTES, max_size=30), bpm=st.floats(20, 300))
def test_what_is_written_is_read_back(notes: list[MidiNote], bpm: float) -> None:
    song = read_midi(write_midi(notes, CHANNELS, bpm, 3))
    assert song.ticks == TICKS
    assert 60e6 / int.from_bytes(song.meta[0x51], "big") == pytest.approx(bpm, rel=1e-5)
    assert song.meta[0x58][:2] == bytes((3, 2))
    assert song.programs == {channel: setting.program for channel, setting in CHANNELS.items()}
    assert song.controls == {(channel, 7): setting.volume for channel, setting in CHANNELS.items()}
    presses = {(note.channel, round(note.start * TICKS), note.key) for note in notes}
    assert {(channel, first, key) for channel, first, _, key, _ in song.notes} == presses
    assert len(song.notes) == len(presses)
    for channel, first, last, key, velocity in song.notes:
        alike = [note for note in notes if (note.channel, round(note.start * TICKS), note.key) == (channel, first, key)]
        assert velocity in {note.velocity for note in alike}
        after = [start for other, start, name in presses if (other, name) == (channel, key) and start > first]
        ends = {max(first + 1, round((note.start + note.beats) * TICKS)) for note in alike}
        assert last in {min([end, *after]) for end in ends}


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (MidiNote(1, 0, 1, 60, 90), r"channel is not among \[0, 9, 15\]"),
        (MidiNote(0, -1, 1, 60, 90), "start 0 or more"),
        (MidiNote(0, 0, 0, 60, 90), "beats above 0"),
        (MidiNote(0, 0, 1, 128, 90), "key is 0 to 127"),
        (MidiNote(0, 0, 1, 60, 0), "velocity 1 to 127"),
    ],
)
def test_what_does_not_fit_the_format_is_refused(note: MidiNote, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_midi([note], CHANNELS, 120, 4)


def test_a_tempo_too_slow_for_the_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="bpm is 3: a MIDI file holds 4"):
        write_midi([], CHANNELS, 3, 4)
