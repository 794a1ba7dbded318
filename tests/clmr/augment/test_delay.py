"""The echo against the paper's listing, sox, and the picture of an impulse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clmr.augment import Delay, delay
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


def test_refuses_steps() -> None:
    with pytest.raises(ConfigError, match="must divide"):
        Delay(ms=(200, 500), step_ms=70)
    with pytest.raises(ConfigError, match="low >= 0"):
        Delay(ms=(-50, 500))
