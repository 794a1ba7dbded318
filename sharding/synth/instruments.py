"""The band: every pitched instrument by name, and one note on any of them."""

from __future__ import annotations

from collections.abc import Callable

from sharding.synth.fm import bell, electric_piano
from sharding.synth.plucked import guitar
from sharding.synth.sustained import bass, flute, organ, strings, synth
from sharding.synth.waves import Samples, Voice

Instrument = Callable[[Voice, float, float, int], Samples]

INSTRUMENTS: dict[str, Instrument] = {
    "bass": bass,
    "bell": bell,
    "electric_piano": electric_piano,
    "flute": flute,
    "guitar": guitar,
    "organ": organ,
    "strings": strings,
    "synth": synth,
}
MELODIC = tuple(name for name in INSTRUMENTS if name != "bass")


def play(voice: Voice, frequency: float, seconds: float, rate: int) -> Samples:
    """One note.

    Args:
        voice: instrument and its colour.
        frequency: pitch in Hz, well below half the rate.
        seconds: from the start of the attack to the end of the release, > 0.
        rate: samples per second.

    Returns:
        float32, shape ``[seconds * rate]``, starting and ending at zero, RMS of the sounding part around 1.
    """
    return INSTRUMENTS[voice.instrument](voice, frequency, seconds, rate)
