"""Recipes say what the presets and classes say, and what they cannot say is refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain, Delay, Filter, Gain, Pitch, Polarity, Reverb, Views, register
from clmr.augment.augmentation import Columns
from clmr.augment.recipe import REGISTERED
from clmr.errors import ConfigError

RATE = 8000


def views_of(recipe: str) -> Views:
    return Views.recipe(recipe, RATE)


@pytest.mark.parametrize("name", ["paper", "official", "crop"])
def test_a_preset_alone_is_the_preset(name: str) -> None:
    assert views_of(f'preset = "{name}"\n') == Views.preset(name, RATE)


def test_changes_of_a_preset() -> None:
    views = views_of("""
        preset = "paper"
        [probability]
        delay = 0.8
        reverb = 0
        [pitch]
        semitones = [-3, 3]
        [filter]
        kind = "sinc"
        probability = 0.5
    """)
    assert views.same
    after = {operation.name: operation for operation in views.first.operations}
    assert after["delay"] == Delay(probability=0.8)
    assert after["reverb"] == Reverb(probability=0.0)
    assert after["pitch"] == Pitch(semitones=(-3.0, 3.0))
    assert after["filter"] == Filter(probability=0.5, kind="sinc")
    before = Chain.preset("paper", RATE).operations
    assert [operation.name for operation in views.first.operations] == [operation.name for operation in before]
    assert after["gain"] == before[2]


def test_an_order_of_ones_own() -> None:
    views = views_of("""
        [[operations]]
        name = "reverb"
        [[operations]]
        name = "gain"
        db = [-12, 0]
        probability = 1
        [[operations]]
        name = "delay"
        ms = [100, 200]
        step_ms = 25
    """)
    assert views.first.operations == (Reverb(), Gain(1.0, (-12.0, 0.0)), Delay(ms=(100, 200), step_ms=25))
    assert views.same


def test_one_view_goes_another_way() -> None:
    views = views_of("""
        preset = "paper"
        [first]
        preset = "crop"
        [second.probability]
        pitch = 0.8
    """)
    assert views.first == Chain.preset("crop", RATE)
    assert views.second == Chain.preset("paper", RATE).with_probability({"pitch": 0.8})


def test_the_papers_ablation() -> None:
    views = views_of("""
        [first]
        preset = "crop"
        [[second.operations]]
        name = "filter"
        probability = 1.0
    """)
    assert views == Views(Chain((), RATE), Chain((Filter(probability=1.0),), RATE))


def test_a_description_is_a_recipe() -> None:
    """What config.json holds can be written down as a recipe and gives the same chain."""
    lines = []
    for operation in Views.preset("official", RATE).describe()["operations"]:
        # JSON's strings, numbers, lists and truth values are TOML's.
        lines += ["[[operations]]", *(f"{field} = {json.dumps(value)}" for field, value in operation.items())]
    assert views_of("\n".join(lines)) == Views.preset("official", RATE)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfpreset = "paper"\r\n')  # as some editors write it
    assert Views.recipe(path, RATE) == Views.recipe(str(path), RATE) == Views.preset("paper", RATE)
    path.write_text('preset = "peper"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: preset = 'peper' is unknown; did you mean paper?")):
        Views.recipe(path, RATE)
    with pytest.raises(ConfigError, match=r"none.toml cannot be read: No such file"):
        Views.recipe(tmp_path / "none.toml", RATE)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine.toml cannot be read"):
        Views.recipe(path, RATE)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("", 'give preset = "paper"'),
        ("[probability]\npitch = 0.5", 'give preset = "paper"'),
        ('[first]\npreset = "crop"', 'give preset = "paper"'),
        ("preset = paper", "the recipe is not TOML"),
        ('prest = "paper"', "unknown key prest; did you mean preset?"),
        ("preset = 3", "preset = 3 is unknown; allowed: paper, official, crop"),
        ('preset = "paper"\n[frist]', "unknown key frist; did you mean first?"),
        ('preset = "paper"\n[ptich]', "unknown key ptich; did you mean pitch?"),
        ('preset = "crop"\n[pitch]', "unknown key pitch"),
        ('preset = "paper"\n[pitch]\nsemitone = [-1, 1]', "unknown key pitch.semitone; did you mean semitones?"),
        ('preset = "paper"\n[pitch]\nsemitones = 3', "pitch.semitones must be a list of 2 values, got 3"),
        ('preset = "paper"\n[pitch]\nsemitones = [1, 2, 3]', "must be a list of 2 values"),
        ('preset = "paper"\n[pitch]\nsemitones = ["a", 2]', r"pitch.semitones\[0\] must be a number, got 'a'"),
        ('preset = "paper"\n[pitch]\nsemitones = [3, -3]', "low <= high"),
        ('preset = "paper"\n[pitch]\nsemitones = [-99, 3]', "semitones"),
        ('preset = "paper"\n[reverb]\ndamping = [0, 101]', "damping"),
        ('preset = "paper"\n[gain]\ndb = [nan, 0]', "finite"),
        ('preset = "paper"\n[gain]\nclamp = 1', "gain.clamp must be true or false, got 1"),
        (
            'preset = "paper"\n[delay]\nms = [200.0, 500]',
            r"delay.ms\[0\] must be a whole number below 2\^31",
        ),
        ('preset = "paper"\n[delay]\nms = [0, 99999999999999999999]', r"below 2\^31"),
        ('preset = "paper"\n[filter]\nkind = "sink"', "filter.kind = 'sink' is unknown; did you mean sinc?"),
        ('preset = "paper"\n[probability]\ngian = 0.5', "unknown key probability.gian; did you mean gain?"),
        ('preset = "paper"\n[probability]\ngain = "often"', "probability.gain must be a number, got 'often'"),
        ('preset = "paper"\n[probability]\ngain = 1.5', r"probability of gain must be in \[0, 1\], got 1.5"),
        ('preset = "paper"\nprobability = 0.5', "probability must be a table of name = number, got 0.5"),
        ('preset = "paper"\ngain = -3', "gain must be a table of settings, got -3"),
        ('preset = "paper"\n[gain]\nprobability = 1\n[probability]\ngain = 1', "are the same; give one of them"),
        ('preset = "paper"\n[[operations]]\nname = "gain"', "exclude each other"),
        ("operations = 3", r"operations must be tables, each under \[\[operations\]\], got 3"),
        ("[[operations]]\ndb = [-3, 0]", "entry 1 of operations has no name; one of polarity"),
        ('[[operations]]\nname = "chrous"', "operations.name = 'chrous' is unknown"),
        ('[[operations]]\nname = "gain"\n[[operations]]\nname = "gain"', "each augmentation once"),
        ('first = "crop"\npreset = "paper"', "first must be a table, got 'crop'"),
        ('[first]\n[second]\npreset = "paper"', "to start from"),
        ('preset = "paper"\n[first]\n[first.first]', "unknown key first.first"),
        ('preset = "paper"\n[second.gain]\ndbs = [0, 0]', "unknown key second.gain.dbs; did you mean db?"),
        ('[[operations]]\nname = "os:system"', "operations.name = 'os:system' is unknown"),
    ],
)
def test_mistakes_get_one_line(recipe: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        views_of(recipe + "\n")
    assert str(caught.value).startswith("the recipe")
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Offset:
    """Adds a constant: the smallest augmentation of one's own."""

    name: ClassVar[str] = "offset"
    probability: float = 1.0
    value: float = 0.25

    def draw(self, keys: Tensor) -> Columns:
        return {"value": torch.full((len(keys),), self.value, dtype=torch.float64)}

    def apply(self, audio: Tensor, columns: Columns, sample_rate: int) -> Tensor:
        return audio + columns["value"].to(audio.dtype)[:, None, None]


@pytest.fixture
def registered() -> Iterator[None]:
    register(Offset)
    yield
    REGISTERED.clear()


@pytest.mark.usefixtures("registered")
def test_an_augmentation_of_ones_own() -> None:
    views = views_of('[[operations]]\nname = "offset"\nvalue = 0.5\n[[operations]]\nname = "polarity"\n')
    assert views.first.operations == (Offset(value=0.5), Polarity())
    out = views(torch.zeros(3, 2, 10, dtype=torch.int16), torch.arange(6).view(3, 2))
    assert set(out.unique().tolist()) <= {-0.5, 0.5}
    assert views.describe()["operations"][0] == {"name": "offset", "probability": 1.0, "value": 0.5}
    with pytest.raises(ConfigError, match=r"operations.name = 'ofset' is unknown; did you mean offset?"):
        views_of('[[operations]]\nname = "ofset"\n')


def test_a_recipe_brings_no_code() -> None:
    with pytest.raises(ConfigError, match=r"operations.name = 'offset' is unknown"):
        views_of('[[operations]]\nname = "offset"\n')


def test_register_refuses_what_is_no_augmentation() -> None:
    class NoDraws:
        name = "nothing"

    with pytest.raises(ConfigError, match="NoDraws needs probability, draw, apply to be an augmentation"):
        register(NoDraws)  # type: ignore[type-var]  # what a user may write

    class Plain(Offset):
        name: ClassVar[str] = "gain"

    with pytest.raises(ConfigError, match=r"Plain.name = 'gain' means something else"):
        register(Plain)

    @dataclass(frozen=True)
    class Bare:
        name: ClassVar[str] = "bare"
        amount: float
        probability: float = 1.0
        draw = Offset.draw
        apply = Offset.apply

    with pytest.raises(ConfigError, match="Bare needs defaults for amount"):
        register(Bare)


@pytest.mark.usefixtures("registered")
def test_register_refuses_a_name_that_is_taken() -> None:
    @dataclass(frozen=True)
    class Other(Offset):
        """Another class of the same name."""

    with pytest.raises(ConfigError, match=r"Other.name = 'offset' is registered for .*test_recipe.Offset; choose"):
        register(Other)
    assert list(REGISTERED.values()) == [Offset]


@pytest.mark.usefixtures("registered")
def test_register_takes_the_same_class_again() -> None:
    register(Offset)
    anew = type("Offset", (Offset,), {"__module__": Offset.__module__, "__qualname__": Offset.__qualname__})
    assert register(anew) is anew  # as where the cell of a notebook runs twice
    assert list(REGISTERED.values()) == [anew]
