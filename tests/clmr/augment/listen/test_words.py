"""Parameters in words: units, signs, and what the presets really hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain, Delay, Filter, Gain, Noise
from clmr.augment.augmentation import Columns
from clmr.augment.listen.words import applied, number, ranges, setting, signed
from clmr.augment.pitch import Pitch


@dataclass(frozen=True)
class Chorus:
    """One that the listening command has never heard of."""

    name: ClassVar[str] = "chorus"
    probability: float = 0.5
    depth_ms: tuple[float, float] = (1.0, 4.0)

    def draw(self, keys: Tensor) -> Columns:
        return {"depth_ms": torch.full((len(keys),), 2.5, dtype=torch.float64)}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        return audio


def plain(words: str) -> str:
    """With ordinary spaces."""
    return words.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (-0.001, "0"), (0.25, "0.25"), (-6.0, "−6"), (40.0, "40"), (99.96, "100"), (2200.4, "2,200")],
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_signs() -> None:
    assert [signed(value) for value in (5.0, 0.0, -5.0, 0.001)] == ["+5", "0", "−5", "0"]


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("polarity", {}, "inverted"),
        ("noise", {"snr_db": 61.25, "key": 7}, "61.2 dB SNR"),
        ("gain", {"db": -5.5}, "−5.5 dB"),
        ("filter", {"high": False, "hz": 2973.4}, "low-pass 2,973 Hz"),
        ("filter", {"high": True, "hz": 244.0}, "high-pass 244 Hz"),
        ("delay", {"ms": 350}, "350 ms"),
        ("pitch", {"cents": -123.0}, "−1.23 semitones"),
        (
            "reverb",
            {"reverberance": 95.0, "damping": 10.0, "room_scale": 0.0},
            "reverberance 95 %, damping 10 %, room 0 %",
        ),
        ("chorus", {"depth_ms": 2.5}, "chorus depth_ms 2.5"),
    ],
)
def test_one_row(name: str, row: dict[str, float], words: str) -> None:
    assert plain(setting(name, row)) == words


def test_ranges() -> None:
    assert plain(ranges(Noise(0.01, snr_db=(80.0, 80.0)))) == "80 dB SNR, on 1 % of the views"
    assert (
        plain(ranges(Gain(0.3, db=(-20.0, -1.0), clamp=True)))
        == "−20 to −1 dB, clipped at full scale, on 30 % of the views"
    )
    assert plain(ranges(Delay(0.4))) == "200 to 500 ms in steps of 50 ms, on 40 % of the views"
    assert plain(ranges(Pitch(0.6, whole_cents=True))) == "−5 to +5 semitones, whole cents, on 60 % of the views"
    assert plain(ranges(Filter(0.8, kind="sinc"))).startswith(
        "sinc, by coin flip low-pass 2,200 to 4,000 Hz or high-pass 200"
    )
    assert plain(ranges(Chorus())) == "depth_ms (1.0, 4.0), on 50 % of the views"


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_every_operation_of_the_presets_has_words(preset: str) -> None:
    for operation in Chain.preset(preset, 22050).operations:
        assert "(" not in ranges(operation), "tuples are for programs"


def test_a_row_of_a_table() -> None:
    chain = Chain([Gain(1.0, db=(-6.0, -6.0)), Delay(0.0), Chorus(1.0)], 22050)
    table = chain.draw(torch.arange(2))
    assert plain(applied(table, 1)) == "gain −6 dB, chorus depth_ms 2.5"
    assert applied(Chain([Delay(0.0)], 22050).draw(torch.arange(2)), 0) == "left as it is"


def test_no_line_ends_between_a_number_and_its_unit() -> None:
    assert setting("filter", {"high": True, "hz": 244.0}) == "high-pass 244\N{NO-BREAK SPACE}Hz"
