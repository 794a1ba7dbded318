"""How loud each instrument is set: the soundfont's are up to 20 dB apart, and a piano would vanish behind a trombone.

Measured once, in dB, from FluidR3_GM 3.1: the A-weighted power (IEC 61672) of eight notes, at volume and velocity 100,
round the melody's middle in each register; of the basses, four notes from A1 to E2; of the kits, a bar of kick, snare
and hi-hat.
"""

from __future__ import annotations

from sharding.study.families import REGISTERS

# By General MIDI program, counted from 0: in the low, the middle and the high register.
_MEASURED = {
    # Pianos, electric pianos.
    0: (-44, -43, -45),
    1: (-44, -44, -45),
    3: (-45, -44, -46),
    4: (-41, -35, -33),
    5: (-44, -39, -37),
    # Mallets.
    8: (-44, -39, -36),
    11: (-44, -43, -42),
    12: (-46, -40, -36),
    13: (-45, -46, -48),
    # Organs.
    16: (-50, -43, -39),
    17: (-39, -34, -31),
    18: (-38, -35, -33),
    19: (-35, -33, -32),
    # Guitars.
    24: (-38, -37, -40),
    25: (-38, -37, -39),
    26: (-37, -33, -30),
    27: (-35, -36, -36),
    29: (-33, -31, -30),
    30: (-32, -29, -28),
    # Strings.
    40: (-39, -36, -36),
    41: (-39, -39, -38),
    42: (-42, -38, -36),
    48: (-43, -38, -36),
    49: (-40, -36, -34),
    # Choirs.
    52: (-40, -37, -35),
    53: (-47, -37, -32),
    # Brass.
    56: (-38, -35, -33),
    57: (-32, -30, -29),
    58: (-39, -33, -39),
    60: (-37, -34, -33),
    61: (-36, -34, -32),
    # Reeds.
    64: (-35, -33, -30),
    65: (-33, -32, -31),
    66: (-35, -34, -32),
    67: (-36, -35, -44),
    68: (-38, -34, -32),
    70: (-36, -37, -38),
    71: (-34, -31, -28),
    # Flutes.
    73: (-42, -36, -32),
    74: (-41, -36, -30),
    75: (-43, -36, -32),
    # Synthesisers.
    62: (-41, -38, -36),
    80: (-41, -37, -33),
    81: (-40, -37, -34),
    90: (-46, -40, -37),
}
_BASSES_DB = {32: -51, 33: -44, 34: -43, 35: -44, 38: -49}
_KITS_DB = {0: -47, 8: -47, 16: -42, 24: -46, 25: -36, 32: -47, 40: -51}
REFERENCE_DB = -46
"""The level that 0 dB stands for; the quietest instruments stay a little below it at full volume."""


def instrument_volume(program: int, register: str, level_db: float) -> int:
    """The MIDI volume, 1 to 127, that brings a melodic instrument to ``level_db`` against ``REFERENCE_DB``."""
    return _volume(_MEASURED[program][REGISTERS.index(register)], level_db)


def bass_volume(program: int, level_db: float) -> int:
    """The same for a bass."""
    return _volume(_BASSES_DB[program], level_db)


def kit_volume(program: int, level_db: float) -> int:
    """The same for a drum kit."""
    return _volume(_KITS_DB[program], level_db)


def _volume(loudness_db: float, level_db: float) -> int:
    # The gain of a MIDI volume is (volume / 127)^2, which is 40 log10(volume / 127) dB.
    return max(1, min(127, round(127 * 10 ** ((level_db - loudness_db + REFERENCE_DB) / 40))))
