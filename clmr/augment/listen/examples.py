"""What is heard: every effect at low, middle and high settings, and the whole chain."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.delay import Delay
from clmr.augment.filter import Filter
from clmr.augment.gain import Gain
from clmr.augment.listen.heard import Effect, Heard, hear_chain
from clmr.augment.noise import Noise
from clmr.augment.pitch import Pitch
from clmr.augment.polarity import Polarity
from clmr.augment.reverb import Reverb

FILTERS = {
    "low": "Takes the highs away, first those of the cymbals.",
    "high": "Takes the lows away, first the bass and the kick drum.",
}
SLOPES = {
    "first-order": "The paper's filter falls off gently, by 6 dB per octave.",
    "sinc": "The filter of the authors' later code cuts sharply: it has 8 zero crossings, whatever the cutoff.",
}


def effects(seed: int) -> tuple[Effect, ...]:
    """Every effect in the order of the chain, the filters in both kinds; ``seed`` decides the noise."""
    keys = torch.from_numpy(draw.make_keys(seed, 0, [0, 1, 2], views=(0,))[:, 0])
    return (
        Effect(
            "polarity",
            "Polarity",
            "Turns the waveform upside down. Alone it cannot be heard, and its spectrogram does not change.",
            Polarity(),
            {},
        ),
        Effect(
            "noise",
            "Noise",
            "Adds white Gaussian noise. Listen between the notes: at 80 dB below the music it drowns in the noise of "
            "most rooms.",
            Noise(),
            {"snr_db": _values(80, 60, 40), "key": keys},
        ),
        Effect("gain", "Gain", "Changes the level, and nothing else.", Gain(), {"db": _values(-20, -6, -1)}),
        *(
            Effect(
                f"{band}-pass-{kind}",
                f"{band.capitalize()}-pass, {kind}",
                f"{FILTERS[band]} {SLOPES[kind]}",
                Filter(kind=kind),
                {"hz": _values(*hz), "high": torch.full((3,), band == "high")},
            )
            for kind in ("first-order", "sinc")
            for band, hz in (("low", (2200, 3100, 4000)), ("high", (200, 700, 1200)))
        ),
        Effect(
            "delay",
            "Delay",
            "Adds one echo at half the volume and halves the sum. Listen to the drums.",
            Delay(),
            {"ms": torch.tensor([200, 350, 500])},
        ),
        Effect(
            "pitch",
            "Pitch",
            "Raises or lowers the pitch and keeps the tempo. Listen to the melody, and to how the drums keep their "
            "attack.",
            Pitch(),
            {"cents": _values(-500, 200, 500)},
        ),
        Effect(
            "reverb",
            "Reverb",
            "Puts the sound into a room, the dry sound left as it is. Reverberance is how long the room rings, damping "
            "how dull it is, room how large. Listen to the end.",
            Reverb(),
            {
                "reverberance": _values(10, 50, 95),
                "damping": _values(90, 50, 10),
                "room_scale": _values(10, 50, 95),
            },
        ),
    )


def hear_all(audio: Tensor, sample_rate: int, presets: tuple[str, ...], seed: int) -> Iterator[Heard]:
    """Every effect, then the chain of every preset named; one at a time, for those who wait."""
    for effect in effects(seed):
        yield effect.hear(audio, sample_rate)
    for preset in presets:
        yield hear_chain(preset, audio, sample_rate, seed)


def count_all(presets: tuple[str, ...]) -> int:
    """How many :func:`hear_all` gives."""
    return len(effects(0)) + len(presets)


def _values(*settings: float) -> Tensor:
    return torch.tensor(settings, dtype=torch.float64)
