"""A song, drawn from (seed, number): its music, which the tags describe, and its recording, which they do not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sharding.synth.instruments import MELODIC

T = TypeVar("T")

TEMPI = {"slow": (60, 76), "medium": (88, 102), "fast": (120, 150)}  # beats per minute; the gaps make the classes
ARPEGGIO, CHORDS, DRONE = "arpeggio", "chords", "drone"
TAGS = (
    *sorted((*MELODIC, "bass", "drums")),
    *("slow", "fast"),
    *("major", "minor", "pentatonic"),
    *(ARPEGGIO, CHORDS),
    *("staccato", "legato"),
)
FILES = tuple(
    (extension, rate, channels)
    for extension in ("mp3", "ogg", "flac", "wav")
    for rate in (44100, 22050, 16000)
    for channels in (1, 2)
)


@dataclass(frozen=True)
class Recording:
    """How a song was recorded and stored. Drawn apart from the music, so none of it says anything about a tag."""

    seconds: float
    """Length, 20 to 32 s."""
    extension: str
    """``"mp3"``, ``"ogg"``, ``"flac"`` or ``"wav"``."""
    rate: int
    """Samples per second of the file: 44100, 22050 or 16000."""
    channels: int
    """1 or 2."""
    level_db: float
    """RMS of the mono downmix against full scale, in dB."""
    room_seconds: float
    """Time the room takes to fall silent (by 60 dB)."""
    room_db: float
    """Level of the room against the direct sound."""
    low_shelf_db: float
    """Gain of a first-order shelf below about 250 Hz."""
    high_shelf_db: float
    """Gain of a first-order shelf above about 2.5 kHz."""
    noise_db: float
    """Level of the noise floor against the music."""
    width: float
    """0: everything in the middle ... 1: the parts spread from left to right; only heard in stereo."""


@dataclass(frozen=True)
class Score:
    """One song."""

    seed: int
    """The corpus' seed."""
    number: int
    """The song's number in the corpus."""
    lead: str
    """Instrument of the melody."""
    accompaniment: str
    """Instrument of the chords."""
    third: str | None
    """Instrument of a second, slower line, if there is one."""
    bass: bool
    """Whether a bass plays."""
    drums: bool
    """Whether a drum kit plays."""
    tempo: str
    """``"slow"``, ``"medium"`` or ``"fast"``."""
    bpm: float
    """Beats per minute, within ``TEMPI[tempo]``."""
    beats: int
    """Beats per bar, 4 or 3."""
    mode: str
    """``"major"``, ``"minor"`` or ``"pentatonic"``."""
    key: int
    """Semitones of the tonic above C, 0 to 11."""
    tuning_cents: float
    """How far concert pitch is from 440 Hz."""
    lowest: int
    """MIDI number at the bottom of the accompaniment's octave; the other parts lie above it, the bass below."""
    texture: str
    """What the accompaniment plays: ``"arpeggio"``, ``"chords"`` or ``"drone"``."""
    articulation: str
    """``"staccato"``, ``"legato"`` or ``"plain"``."""
    recording: Recording
    """How it was recorded."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that hold, in the order of :data:`TAGS`."""
        true = {self.lead, self.accompaniment, self.third, self.tempo, self.mode, self.texture, self.articulation}
        true |= {name for name, plays in (("bass", self.bass), ("drums", self.drums)) if plays}
        return tuple(tag for tag in TAGS if tag in true)

    @property
    def frequency(self) -> float:
        """Concert pitch of this song in Hz: the A that MIDI numbers 69."""
        return float(440 * 2 ** (self.tuning_cents / 1200))


def generator(seed: int, number: int, stream: str) -> np.random.Generator:
    """The random generator of one matter of one song."""
    name = f"{seed}/{number}/{stream}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little"))


def deal(cards: Sequence[T], seed: int, number: int, stream: str) -> T:
    """Song ``number``'s card when the pack is shuffled anew for every ``len(cards)`` songs.

    Any run of ``2 len(cards) - 1`` songs holds every card, so a split of that many songs holds positives and negatives
    of every tag; and still a song depends on nothing but (seed, number).
    """
    pack, place = divmod(number, len(cards))
    return cards[int(generator(seed, pack, stream).permutation(len(cards))[place])]


def draw_score(seed: int, number: int) -> Score:
    """Song ``number`` (from 0) of the corpus ``seed``."""

    def of_ten(stream: str, **shares: int) -> str:
        return deal([name for name, share in shares.items() for _ in range(share)], seed, number, stream)

    # Two or three different melody instruments: steps of 0, 1 and 3 round one shuffled circle of seven.
    lead, accompaniment, third = (deal(_circle(step), seed, number, "instruments") for step in (0, 1, 3))
    tempo = of_ten("tempo", slow=4, medium=2, fast=4)
    chance = generator(seed, number, "music")
    return Score(
        seed=seed,
        number=number,
        lead=lead,
        accompaniment=accompaniment,
        third=third if of_ten("third", yes=5, no=5) == "yes" else None,
        bass=of_ten("bass", yes=5, no=5) == "yes",
        drums=of_ten("drums", yes=5, no=5) == "yes",
        tempo=tempo,
        bpm=float(chance.uniform(*TEMPI[tempo])),
        beats=4 if chance.random() < 0.8 else 3,
        mode=of_ten("mode", major=4, minor=3, pentatonic=3),
        key=int(chance.integers(12)),
        tuning_cents=float(chance.normal(0, 8)),
        lowest=int(chance.integers(43, 56)),
        texture=of_ten("texture", arpeggio=4, chords=4, drone=2),
        articulation=of_ten("articulation", staccato=4, plain=2, legato=4),
        recording=draw_recording(seed, number),
    )


def _circle(step: int) -> tuple[str, ...]:
    """The melody instruments, turned by ``step``."""
    return MELODIC[step:] + MELODIC[:step]


def draw_recording(seed: int, number: int) -> Recording:
    """The recording of song ``number``, from random streams of its own."""
    chance = generator(seed, number, "recording")
    extension, rate, channels = deal(FILES, seed, number, "file")
    return Recording(
        seconds=float(chance.uniform(20.5, 32)),
        extension=extension,
        rate=rate,
        channels=channels,
        level_db=float(chance.uniform(-27, -21)),
        room_seconds=float(chance.uniform(0.2, 1.1)),
        room_db=float(chance.uniform(-22, -8)),
        low_shelf_db=float(chance.uniform(-4, 4)),
        high_shelf_db=float(chance.uniform(-4, 4)),
        noise_db=float(chance.uniform(-75, -50)),
        width=float(chance.uniform(0, 1)),
    )
