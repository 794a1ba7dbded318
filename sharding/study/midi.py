"""Standard MIDI files, format 1: a track of tempo and meter, then one for each channel."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clmr.errors import ConfigError

TICKS = 480  # per beat
DRUM_CHANNEL = 9  # the tenth, counted from 0


@dataclass(frozen=True, order=True)
class MidiNote:
    """A key pressed and let go."""

    channel: int
    """0 to 15; 9 is the drum kit."""
    start: float
    """In beats from the start, 0 or more."""
    beats: float
    """How long it is held."""
    key: int
    """0 to 127; 60 is middle C. On the drum channel each key is a drum of its own."""
    velocity: int
    """1 to 127."""


@dataclass(frozen=True)
class Channel:
    """How a channel is set before the first note."""

    program: int
    """General MIDI instrument, or drum kit, counted from 0."""
    volume: int
    """0 to 127; the gain is (volume / 127)^2."""


def write_midi(notes: Iterable[MidiNote], channels: Mapping[int, Channel], bpm: float, beats: int) -> bytes:
    """A whole file.

    A note still held when its key is struck again on its channel ends there: a key cannot be pressed twice.

    Args:
        notes: in any order.
        channels: the settings of every channel that plays.
        bpm: quarter notes per minute, 4 or more.
        beats: quarter notes per bar.

    Raises:
        ConfigError: a value does not fit the format.
    """
    by_channel: dict[int, list[MidiNote]] = {channel: [] for channel in channels}
    for note in sorted(notes):
        _check(note, channels)
        by_channel[note.channel].append(note)
    micros = round(60e6 / bpm)
    if not 0 < micros < 1 << 24:
        raise ConfigError(f"bpm is {bpm}: a MIDI file holds 4 to 60,000,000")
    # Meta events 0x51, microseconds per quarter, and 0x58: numerator, log2 of the denominator, clocks, 32nds.
    conductor = [
        (0, b"\xff\x51\x03" + micros.to_bytes(3, "big")),
        (0, b"\xff\x58\x04" + bytes((beats, 2, 24, 8))),
    ]
    tracks = [
        conductor,
        *(_channel_events(number, channels[number], by_channel[number]) for number in sorted(channels)),
    ]
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TICKS)
    return header + b"".join(map(_chunk, tracks))


def _check(note: MidiNote, channels: Mapping[int, Channel]) -> None:
    if note.channel not in channels or not 0 <= note.channel < 16:
        raise ConfigError(f"{note}: its channel is not among {sorted(channels)} or not below 16")
    if not (0 <= note.key < 128 and 0 < note.velocity < 128 and note.start >= 0 and note.beats > 0):
        raise ConfigError(f"{note}: key is 0 to 127, velocity 1 to 127, start 0 or more, beats above 0")


def _channel_events(number: int, channel: Channel, notes: list[MidiNote]) -> list[tuple[int, bytes]]:
    """(tick, message) in order of time; at one tick keys are let go before others are pressed."""
    presses = [(round(note.start * TICKS), note) for note in notes]
    next_press: dict[int, int] = {}
    events: list[tuple[int, int, bytes]] = []
    for tick, note in reversed(presses):
        end = max(tick + 1, round((note.start + note.beats) * TICKS))
        end = min(end, next_press.get(note.key, end))
        if end <= tick:  # the same key at the same tick: one press is enough
            continue
        next_press[note.key] = tick
        events += [
            (tick, 1, bytes((0x90 | number, note.key, note.velocity))),
            (end, 0, bytes((0x80 | number, note.key, 64))),
        ]
    setting = [(0, bytes((0xC0 | number, channel.program))), (0, bytes((0xB0 | number, 7, channel.volume)))]
    return setting + [(tick, message) for tick, _, message in sorted(events)]


def _chunk(events: list[tuple[int, bytes]]) -> bytes:
    """A track: each message after the ticks since the one before, then the mark of its end."""
    body = bytearray()
    before = 0
    for tick, message in events:
        body += variable_length(tick - before) + message
        before = tick
    body += variable_length(0) + b"\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def variable_length(value: int) -> bytes:
    """A number in groups of seven bits, the highest first; all bytes but the last have their top bit set."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
