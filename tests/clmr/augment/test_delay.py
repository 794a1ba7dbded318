"""The echo against the paper's listing, sox, and the picture of an impulse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clmr.augment import Chain, Delay, delay
from clmr.errors import ConfigError
from tests.clmr.augment.signals import RATES, noise, relative_error, sox
from tests.tolerances import SOX


def test_impulse() -> None:
    audio = torch.zeros(2, 1, 1000)
    audio[:, 0, 10] = 1
    echoed = delay(audio, torch.tensor([200, 989]))
    for row, place in enumerate((210, 999)):
        assert echoed[row, 0].nonzero().flatten().tolist() == [10, place]
        assert echoed[row, 0, 10] == 0.5
        assert echoed[row, 0, place] == 0.25


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("ms", range(200, 501, 50))
def test_equals_the_papers_listing(sample_rate: int, ms: int) -> None:
    audio = noise(1, 20736)
    offset = int(ms * (sample_rate / 1000))
    listing = (audio + 0.5 * torch.cat((torch.zeros(1, 1, offset), audio[..., :-offset]), dim=2)) / 2
    assert torch.equal(Delay().apply(audio, {"ms": torch.tensor([ms])}, sample_rate), listing)


def test_rows_of_many_delays() -> None:
    """Every row is the listing's, whatever the others' delays are."""
    audio, frames = noise(40, 900), torch.arange(40) * 7919 % 23 * 50
    echoed = delay(audio, frames)
    assert len(frames.unique()) == 23
    for row, offset in enumerate(frames.tolist()):
        x = audio[row : row + 1]
        late = torch.cat((torch.zeros(1, 1, offset), x), dim=2)[..., :900]
        assert torch.equal(echoed[row : row + 1], (x + 0.5 * late) / 2)


@pytest.mark.needs("sox")
def test_equals_sox_echo(tmp_path: Path) -> None:
    """The effect ``echo``: gain-out (gain-in x + decay x_delayed)."""
    audio = noise(1, 20736)
    expected = sox(audio, 8000, tmp_path, "echo", "1", "0.5", "350", "0.5")[..., :20736]
    assert relative_error(delay(audio, torch.tensor([2800])), expected) < SOX


@pytest.mark.parametrize("frames", [100, 101, 10**9])
def test_longer_than_the_audio(frames: int) -> None:
    audio = noise(1, 100)
    assert torch.equal(delay(audio, torch.tensor([frames])), audio / 2)


def test_no_delay() -> None:
    audio = noise(1, 100)
    torch.testing.assert_close(delay(audio, torch.tensor([0])), 0.75 * audio)


def test_draws_every_step() -> None:
    values, counts = Delay().draw(torch.arange(7000))["ms"].unique(return_counts=True)
    assert values.tolist() == [200, 250, 300, 350, 400, 450, 500]
    assert counts.min() > 880
    assert Delay(ms=(200, 450)).draw(torch.arange(500))["ms"].max() == 450


@pytest.mark.parametrize(("preset", "longest"), [("paper", 500), ("official", 450)])
def test_longest_delay_of_the_presets(preset: str, longest: int) -> None:
    """The authors' code draws from a range that excludes its end."""
    (operation,) = (each for each in Chain.preset(preset, 22050).operations if each.name == "delay")
    ms = operation.draw(torch.arange(1000))["ms"]
    assert ms.unique().tolist() == list(range(200, longest + 1, 50))
    click = torch.zeros(1, 1, 12_000)
    click[..., 0] = 1
    echoed = operation.apply(click, {"ms": torch.tensor([longest])}, 22050)
    assert echoed.flatten().nonzero().flatten().tolist() == [0, longest * 22050 // 1000]


def test_refuses_what_comes_first() -> None:
    with pytest.raises(ConfigError, match=r"delays must be 0 samples or more, got -3"):
        delay(noise(2, 100), torch.tensor([10, -3]))


def test_refuses_steps() -> None:
    with pytest.raises(ConfigError, match="must divide"):
        Delay(ms=(200, 500), step_ms=70)
    with pytest.raises(ConfigError, match="low >= 0"):
        Delay(ms=(-50, 500))


@pytest.mark.parametrize("settings", [{"ms": (200.5, 500.5)}, {"ms": (200.0, 500.0)}, {"step_ms": 50.0}])
def test_refuses_fractions_of_a_millisecond(settings: dict[str, Any]) -> None:
    """The column is int64, which they could not be."""
    with pytest.raises(ConfigError, match=r"delay.ms and delay.step_ms must be whole numbers, got"):
        Delay(**settings)


@pytest.mark.parametrize("volume", [float("nan"), float("inf"), -1001.0])
def test_refuses_volumes(volume: float) -> None:
    with pytest.raises(ConfigError, match=r"^delay.volume must be within \+-1000, got"):
        Delay(volume=volume)
    with pytest.raises(ConfigError, match=r"^volume must be within \+-1000, got"):
        delay(noise(2, 100), torch.tensor([1, 2]), volume)
