"""A take: one way to play a composition (who, how fast, how high, how), and the tags that this makes true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sharding.study.composition import DENSE, SPARSE, Composition, draw_composition
from sharding.study.families import BASSES, DRUM_KITS, FAMILIES, HIGH, LOW, MIDDLE, programs
from sharding.synth.score import deal, generator

T = TypeVar("T")

TAKES = {"train": 2, "valid": 1, "test": 1}
"""Takes of each composition: two to learn from, one where songs have to be independent of each other."""
TEMPI = {"slow": (60, 76), "medium": (88, 104), "fast": (124, 152)}  # beats per minute; the gaps make the classes
CODECS = ("ogg", "mp3")
TAGS = (
    *FAMILIES,
    *("bass", "drums"),
    *("slow", "fast"),
    *("major", "minor"),
    "triple_meter",
    *(SPARSE, DENSE),
    *(f"{LOW}_register", f"{HIGH}_register"),
    *("staccato", "legato"),
    *("arpeggio", "block_chords"),
)


@dataclass(frozen=True)
class Recording:
    """How a take was recorded and stored. Drawn apart from the music, so none of it says anything about a tag."""

    seconds: float
    """Length."""
    codec: str
    """``"ogg"`` (Vorbis) or ``"mp3"``."""
    room_size: float
    """Of FluidSynth's reverb, 0 to 1."""
    room_damp: float
    """How much sooner its high frequencies die, 0 to 1."""
    room_level: float
    """Its level, 0 to 1."""
    low_shelf_db: float
    """Gain below about 250 Hz."""
    high_shelf_db: float
    """Gain above about 2.5 kHz."""
    noise_db: float
    """Level of the noise floor against the music."""
    level_db: float
    """RMS against full scale."""
    fade: float
    """Seconds of fading out at the end."""


@dataclass(frozen=True)
class Take:
    """One track of the corpus."""

    composition: Composition
    letter: str
    """``"a"``, ``"b"`` ...: which take of the composition."""
    band: tuple[str, ...]
    """One to three families: melody, chords (the melody's own where it is alone), second line."""
    instruments: tuple[int, ...]
    """The General MIDI program of each, counted from 0."""
    bass: int | None
    """Program of the bass, if one plays."""
    drum_kit: int | None
    """Program of the drum kit, if one plays."""
    tempo: str
    """``"slow"``, ``"medium"`` or ``"fast"``."""
    bpm: float
    """Beats per minute, within ``TEMPI[tempo]``."""
    key: int
    """Semitones of the tonic above C, 0 to 11."""
    register: str
    """``"low"``, ``"middle"`` or ``"high"``: where all but bass and drums play."""
    articulation: str
    """``"staccato"``, ``"plain"`` or ``"legato"``."""
    texture: str
    """``"arpeggio"``, ``"block_chords"`` or ``"single_notes"``: what becomes of the chords."""
    recording: Recording
    """How it was recorded."""

    @property
    def name(self) -> str:
        """Its name in the corpus."""
        return f"{self.composition.name}{self.letter}"

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that hold, in the order of :data:`TAGS`."""
        piece = self.composition
        true = {*self.band, self.tempo, piece.mode, piece.density, f"{self.register}_register"}
        true |= {self.articulation, self.texture}
        facts = (("bass", self.bass is not None), ("drums", self.drum_kit is not None))
        true |= {tag for tag, holds in (*facts, ("triple_meter", piece.beats == 3)) if holds}
        return tuple(tag for tag in TAGS if tag in true)


def draw_takes(seed: int, split: str, number: int, seconds: float) -> list[Take]:
    """All takes of one composition; a pure function of its arguments.

    Args:
        seed: the corpus' seed.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        number: the composition's, from 0.
        seconds: about how long a take is; each is up to 7 % shorter or longer.
    """
    piece = draw_composition(seed, split, number)
    return [_draw_take(piece, TAKES[split] * number + take, "abcdefgh"[take], seconds) for take in range(TAKES[split])]


def _draw_take(piece: Composition, track: int, letter: str, seconds: float) -> Take:
    def dealt(stream: str, shares: dict[T, int]) -> T:
        cards = [card for card, share in shares.items() for _ in range(share)]
        return deal(cards, piece.seed, track, f"study/{piece.split}/{stream}")

    chance = generator(piece.seed, track, f"study/{piece.split}/take")
    # The melody's family is dealt, the others are any two of the rest: each family is as likely beside each other one.
    lead = dealt("lead", dict.fromkeys(range(len(FAMILIES)), 1))
    others = chance.choice(np.arange(1, len(FAMILIES)), size=2, replace=False)
    size = dealt("band", {1: 2, 2: 4, 3: 4})
    band = tuple(FAMILIES[(lead + int(step)) % len(FAMILIES)] for step in (0, *others)[:size])
    register = dealt("register", {LOW: 3, MIDDLE: 4, HIGH: 3})
    tempo = dealt("tempo", {"slow": 4, "medium": 2, "fast": 4})
    return Take(
        composition=piece,
        letter=letter,
        band=band,
        instruments=tuple(int(chance.choice(programs(family, register))) for family in band),
        bass=int(chance.choice(BASSES)) if dealt("bass", {True: 1, False: 1}) else None,
        drum_kit=int(chance.choice(DRUM_KITS)) if dealt("drums", {True: 1, False: 1}) else None,
        tempo=tempo,
        bpm=float(chance.uniform(*TEMPI[tempo])),
        key=int(chance.integers(12)),
        register=register,
        articulation=dealt("articulation", {"staccato": 4, "plain": 2, "legato": 4}),
        texture=dealt("texture", {"arpeggio": 4, "block_chords": 4, "single_notes": 2}),
        recording=_draw_recording(piece, track, seconds),
    )


def _draw_recording(piece: Composition, track: int, seconds: float) -> Recording:
    chance = generator(piece.seed, track, f"study/{piece.split}/recording")
    return Recording(
        seconds=seconds * float(chance.uniform(0.93, 1.07)),
        codec=CODECS[int(chance.integers(len(CODECS)))],
        room_size=float(chance.uniform(0.1, 0.8)),
        room_damp=float(chance.uniform(0.0, 0.6)),
        room_level=float(chance.uniform(0.1, 0.7)),
        low_shelf_db=float(chance.uniform(-3, 3)),
        high_shelf_db=float(chance.uniform(-3, 3)),
        noise_db=float(chance.uniform(-75, -50)),
        level_db=float(chance.uniform(-27, -19)),
        fade=float(chance.uniform(0.05, 0.5)),
    )
