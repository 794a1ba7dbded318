"""Which General MIDI instruments make up a family, and how loud each has to be set to sound as loud as the others."""

from __future__ import annotations

LOW, MIDDLE, HIGH = "low", "middle", "high"
REGISTERS = (LOW, MIDDLE, HIGH)

# General MIDI programs, counted from 0: those of a family that play in any register ...
_ANYWHERE: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 3),
    "electric_piano": (4, 5),
    "mallets": (),
    "organ": (16, 17, 18, 19),
    "guitar": (24, 25, 26, 27),
    "distorted_guitar": (29, 30),
    "strings": (48, 49),
    "choir": (52, 53),
    "brass": (61,),
    "reeds": (),
    "flute": (73, 74, 75),
    "synth": (62, 80, 81, 90),
}
# ... and those that are built for one: a cello below, a violin above.
_BUILT_FOR: dict[str, dict[str, tuple[int, ...]]] = {
    "mallets": {LOW: (12,), MIDDLE: (11, 12), HIGH: (8, 11, 13)},
    "strings": {LOW: (42,), MIDDLE: (41,), HIGH: (40,)},
    "brass": {LOW: (57, 58), MIDDLE: (57, 60), HIGH: (56,)},
    "reeds": {LOW: (67, 70), MIDDLE: (65, 66, 71), HIGH: (64, 68, 71)},
}

FAMILIES = tuple(_ANYWHERE)
BASSES = (32, 33, 34, 35, 38)
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40)


def programs(family: str, register: str) -> tuple[int, ...]:
    """The instruments of ``family`` that may play in ``register``."""
    return _ANYWHERE[family] + _BUILT_FOR.get(family, {}).get(register, ())
