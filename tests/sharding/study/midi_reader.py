"""A reader of MIDI files, written from the specification and knowing nothing of the writer."""

from __future__ import annotations

from dataclasses import dataclass, field

DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


@dataclass
class Song:
    """What a file says."""

    ticks: int
    meta: dict[int, bytes] = field(default_factory=dict)
    """By type; the last one of each."""
    programs: dict[int, int] = field(default_factory=dict)
    """By channel."""
    controls: dict[tuple[int, int], int] = field(default_factory=dict)
    """By channel and controller."""
    notes: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    """(channel, first tick, last tick, key, velocity) of every note, let go exactly once."""


def read_midi(data: bytes) -> Song:
    """Read a whole file; an assertion fails where it is no valid one."""
    assert data[:8] == b"MThd\x00\x00\x00\x06"
    kind, tracks, ticks = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    assert kind == 1
    assert ticks < 0x8000  # else it counts in frames of film
    song, at = Song(ticks), 14
    for _ in range(tracks):
        assert data[at : at + 4] == b"MTrk"
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        _read_track(data[at + 8 : end], song)
        at = end
    assert at == len(data)
    return song


def _read_track(data: bytes, song: Song) -> None:
    at = now = 0
    held: dict[tuple[int, int], tuple[int, int]] = {}
    while True:
        delta, at = _number(data, at)
        now += delta
        status = data[at]
        assert status & 0x80, "no running status in these files"
        if status == 0xFF:
            length, start = _number(data, at + 2)
            song.meta[data[at + 1]] = data[start : start + length]
            if data[at + 1] == 0x2F:
                assert start + length == len(data)
                assert not held, "a key was never let go"
                return
            at = start + length
            continue
        kind, channel = status >> 4, status & 0x0F
        values = data[at + 1 : at + 1 + DATA_BYTES[kind]]
        assert all(value < 0x80 for value in values)
        at += 1 + len(values)
        if kind == 0xC:
            song.programs[channel] = values[0]
        elif kind == 0xB:
            song.controls[channel, values[0]] = values[1]
        elif kind == 0x9 and values[1]:
            assert (channel, values[0]) not in held, "a key was pressed twice"
            held[channel, values[0]] = (now, values[1])
        else:
            assert kind in {0x8, 0x9}
            first, velocity = held.pop((channel, values[0]))
            song.notes.append((channel, first, now, values[0], velocity))


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    while data[at] & 0x80:
        value = value << 7 | data[at] & 0x7F
        at += 1
    return value << 7 | data[at], at + 1
