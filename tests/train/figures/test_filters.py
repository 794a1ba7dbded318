"""Gradient ascent finds what a filter listens for, where physics says what that is."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clmr import SampleCNN
from clmr.cpc import CPC, CpcFeatures
from clmr.encoder import Block
from clmr.errors import ConfigError
from tests.train.figures.made_up import check_written
from train.figures.ascent import FRAMES, RMS, AscentSettings, layers_of, most_exciting, spectra
from train.figures.filters import draw_filters

RATE, TAPS = 8000, 64
TUNED_HZ = (500.0, 1250.0, 3100.0)
CPU = torch.device("cpu")


class BandPass(nn.Module):
    """One layer of filters, each a cosine under a Hann window: a band-pass around its frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, len(TUNED_HZ), TAPS, padding=TAPS // 2), None
        time = torch.arange(TAPS) / RATE
        waves = torch.cos(2 * torch.pi * torch.tensor(TUNED_HZ)[:, None] * time) * torch.hann_window(TAPS)
        self.conv.weight = nn.Parameter(waves[:, None] / TAPS)
        self.conv.bias = nn.Parameter(torch.zeros(len(TUNED_HZ)))

    def forward(self, x: Tensor) -> Tensor:
        heard: Tensor = self.conv(x)
        return heard.relu()


def test_a_band_pass_is_excited_by_its_own_frequency() -> None:
    (layer,) = layers_of(nn.Sequential(BandPass()))
    found = most_exciting(layer, AscentSettings(), CPU)
    peaks = np.fft.rfftfreq(FRAMES, 1 / RATE)[spectra(found.waveforms).argmax(axis=1)]
    # The main lobe of such a filter is 4 * RATE / TAPS = 500 Hz wide, and nearly flat at its top.
    assert peaks == pytest.approx(TUNED_HZ, abs=0.1 * 4 * RATE / TAPS)
    # No waveform of that RMS does better than the sine at the peak of |H|: mean of the rectified sine, 99 % of it.
    gain = np.abs(np.fft.rfft(layer_weights(layer.filters), 1 << 14)).max(axis=1)
    best = RMS * np.sqrt(2) * gain / np.pi * 0.99
    assert (found.after.numpy() > 0.9 * best).all()
    assert (found.after.numpy() < 1.02 * best).all()
    assert (found.after > 2 * found.before).all()


def layer_weights(filters: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    weights = BandPass().conv.weight.detach()[:filters, 0]
    return np.asarray(weights.double().numpy(), dtype=np.float64)


def test_waveforms_keep_their_loudness_and_the_seed_decides() -> None:
    (layer,) = layers_of(nn.Sequential(BandPass()))
    one, same, other = (
        most_exciting(layer, AscentSettings(steps=3, seed=seed), CPU, most=most).waveforms
        for seed, most in ((0, 256), (0, 1), (1, 256))
    )
    assert one.square().mean(dim=1).sqrt().tolist() == pytest.approx([RMS] * 3, rel=1e-5)
    torch.testing.assert_close(one, same)  # however many filters at once
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(("rate", "layers"), [(22050, 6), (8000, 6)])
def test_layers_of_sample_cnn_are_those_that_answer(rate: int, layers: int) -> None:
    """The rectified response is what the layer passes on, before it pools."""
    encoder = SampleCNN(rate, 16).eval()
    blocks = [cast("Block", block) for block in encoder.sequential]
    for block in blocks:
        block.norm.running_mean.uniform_(-1, 1)
        block.norm.weight.data.uniform_(0.5, 2)
    found = layers_of(encoder)
    assert [layer.number for layer in found] == list(range(1, layers + 1))
    x = y = 0.1 * torch.randn(2, 1, FRAMES, generator=torch.Generator().manual_seed(0))
    for layer, block in zip(found, blocks, strict=False):
        y = block(y)
        heard = layer.response(x).relu()
        pooled = nn.functional.max_pool1d(heard, block.pool) if block.pool > 1 else heard
        torch.testing.assert_close(pooled, y.squeeze(2), rtol=1e-4, atol=1e-5)


def test_layers_of_cpc() -> None:
    features = CpcFeatures(CPC(width=8, context=4, steps=2), 8000).eval()
    found = layers_of(features)
    assert [layer.filters for layer in found] == [8] * 7
    x = torch.randn(1, 1, FRAMES)
    torch.testing.assert_close(found[-1].response(x).relu(), features.cpc.encoder(x))


def test_the_figure_and_its_numbers(tmp_path: Path) -> None:
    encoder = SampleCNN(8000, 16).eval()
    settings = AscentSettings(steps=5)
    data = draw_filters(encoder, "a new encoder", 8000, settings, tmp_path, (1, 4))
    document = check_written(tmp_path, "filters", svg=False)
    assert document["settings"] == {"steps": 5, "step_size": 0.1, "seed": 0}
    assert [(row["layer"], row["filter"]) for row in data.rows] == [(1, f) for f in range(4)] + [
        (4, f) for f in range(8)
    ]
    arrays = np.load(tmp_path / "filters.npz")
    for row in data.rows:
        spectrum = arrays[f"layer_{row['layer']}"][row["filter"]]
        assert spectrum.max() == 1
        assert arrays["hz"][spectrum.argmax()] == pytest.approx(row["peak_hz"])
    assert draw_filters(encoder, "a new encoder", 8000, settings, tmp_path / "again", (1, 4)) == data
    with pytest.raises(ConfigError, match="--layer 9: 729 samples reach layers 1 to 6 of this encoder"):
        draw_filters(encoder, "a new encoder", 8000, settings, tmp_path, (9,))
    with pytest.raises(ConfigError, match="--steps 0"):
        AscentSettings(steps=0)
