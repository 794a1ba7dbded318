"""The adapter for MARBLE: its shapes, its windows, and that nothing in a harness changes the encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from clmr import SampleCNN, load_encoder, save_official
from clmr.errors import ConfigError
from clmr.marble import MarbleEncoder

CROP = 20736  # at 8 kHz


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("marble") / "weights.pt"
    save_official(SampleCNN(sample_rate=8000, width=16), path)
    return path


def noise(rows: int, seconds: float, rate: int = 8000) -> Tensor:
    return 0.1 * torch.randn(rows, round(seconds * rate), generator=torch.Generator().manual_seed(1))


def test_every_window_is_the_encoder_s(weights: Path) -> None:
    audio, encoder = noise(3, 7), MarbleEncoder(weights, hop=0.5, batch_size=4)
    found = encoder.get_feature(audio)
    assert found.shape == (3, 1, 9, 16)  # (7 s - 2.592 s) / 0.5 s + 1
    for row, window in ((0, 0), (1, 5), (2, 8)):
        crop = audio[row, 4000 * window : 4000 * window + CROP].view(1, 1, -1)
        with torch.no_grad():
            torch.testing.assert_close(found[row, 0, window], load_encoder(weights)(crop)[0], rtol=1e-4, atol=1e-5)


def test_what_marble_does_with_an_encoder(weights: Path) -> None:
    """Version 2 hands over [B, T] and stacks chosen layers of the tuple to [B, L, T', H]; decoders average L and T'."""
    encoder = MarbleEncoder(weights)
    hidden = encoder(noise(2, 6))
    assert isinstance(hidden, tuple)
    stacked = torch.stack([hidden[layer] for layer in (0,)], dim=1)
    assert stacked.shape == (2, 1, 2, encoder.num_features)
    torch.testing.assert_close(stacked, encoder.get_feature(noise(2, 6).unsqueeze(1)))
    assert encoder.sample_rate == 8000
    assert encoder.token_rate == pytest.approx(1 / encoder.window_seconds)


def test_the_encoder_stays_as_it_is(weights: Path) -> None:
    """While the harness trains its probe, under autocast."""
    encoder, audio = MarbleEncoder(weights), noise(2, 3)
    before = encoder.get_feature(audio)
    probe = torch.nn.Sequential(encoder, torch.nn.Flatten()).train()
    assert not any(part.training for part in encoder.model.modules())
    assert not any(parameter.requires_grad for parameter in probe.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        after = encoder(audio)[0]
    assert after.dtype == torch.float32
    assert not after.requires_grad
    torch.testing.assert_close(after[:, None], before, rtol=0, atol=0)


@pytest.mark.parametrize("rate", [24000, 44100, 16000])
def test_audio_of_another_rate(weights: Path, rate: int) -> None:
    """A chord below 3 kHz sounds the same at every rate, but for the filter's start at the first sample."""

    def chord(at: int) -> Tensor:
        time = torch.arange(3 * at, dtype=torch.float64) / at
        return sum(0.1 * torch.sin(2 * torch.pi * f * time) for f in (220.0, 997.0, 2900.0)).float()[None]  # type: ignore[union-attr]

    expected = MarbleEncoder(weights).get_feature(chord(8000))
    encoder = MarbleEncoder(weights, sample_rate=rate)
    found = encoder.get_feature(chord(rate))
    assert found.shape == expected.shape
    assert float((found - expected).norm() / expected.norm()) < 0.01
    torch.testing.assert_close(encoder.get_feature(chord(8000), sample_rate=8000), expected)


def test_what_cannot_be_embedded(weights: Path) -> None:
    encoder = MarbleEncoder(weights)
    with pytest.raises(ConfigError, match=r"8000 samples, which is less than a window of 2\.592 s"):
        encoder(noise(1, 1))
    with pytest.raises(ConfigError, match=r"got torch\.float32 \[1, 2, 24000\]; mix the channels"):
        encoder(torch.zeros(1, 2, 24000))
    with pytest.raises(ConfigError, match=r"got torch\.int16"):
        encoder(torch.zeros(1, 24000, dtype=torch.int16))
    with pytest.raises(ConfigError, match="different lengths"):
        encoder(noise(2, 3), torch.tensor([24000, 20000]))
    with pytest.raises(ConfigError, match="at least one sample"):
        MarbleEncoder(weights, hop=1e-6)
