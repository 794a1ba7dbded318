"""Polarity, gain and noise: levels to a fraction of a decibel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchaudio

from clmr.augment import Gain, Noise, add_noise, gain, invert_polarity
from clmr.errors import ConfigError
from tests.clmr.augment.signals import extremes, level_db, noise, relative_error, sox
from tests.tolerances import FLOAT32_FILTER, GAIN_DB, SNR_DB


@pytest.mark.needs("sox")
def test_polarity(tmp_path: Path) -> None:
    audio = noise(1, 1000)
    assert torch.equal(invert_polarity(invert_polarity(audio)), audio)
    assert relative_error(invert_polarity(audio), sox(audio, 8000, tmp_path, "vol", "-1")) < FLOAT32_FILTER


@pytest.mark.needs("sox")
@pytest.mark.parametrize("db", [-20.0, -6.0, -0.37, 0.0, 3.0])
def test_gain(db: float, tmp_path: Path) -> None:
    audio = 0.5 * noise(3, 2000)
    louder = gain(audio, torch.full((3,), db))
    for row in range(3):
        assert level_db(louder[row]) - level_db(audio[row]) == pytest.approx(db, abs=GAIN_DB)
        assert relative_error(louder[row], torchaudio.functional.gain(audio[row], db)) < FLOAT32_FILTER
    assert relative_error(louder[2:], sox(audio[2:], 8000, tmp_path, "vol", f"{db}dB")) < FLOAT32_FILTER


def test_gain_of_zero_decibels_changes_nothing() -> None:
    assert torch.equal(gain(extremes(100), torch.zeros(6)), extremes(100))


def test_clamp_as_in_vol() -> None:
    audio = 3 * noise(2, 500)
    columns = {"db": torch.tensor([-1.0, -2.0])}
    clipped = Gain(db=(-2, -1), clamp=True).apply(audio, columns, 8000)
    for row, db in enumerate((-1.0, -2.0)):
        assert relative_error(clipped[row], torchaudio.transforms.Vol(db, gain_type="db")(audio[row])) < FLOAT32_FILTER
    assert Gain(db=(-2, -1)).apply(audio, columns, 8000).abs().max() > 1


@pytest.mark.parametrize("snr", [80.0, 40.0, 0.0])
def test_noise_is_as_far_below_the_signal_as_asked(snr: float) -> None:
    audio = noise(4, 59049).double()  # float32 would round noise at 80 dB
    keys = torch.tensor([1, 2, 3, -4])
    added = add_noise(audio, torch.full((4,), snr), keys) - audio
    for row in range(4):
        assert level_db(audio[row]) - level_db(added[row]) == pytest.approx(snr, abs=SNR_DB)
    correlation = torch.corrcoef(torch.cat([added[:, 0], audio[:, 0]])).fill_diagonal_(0)
    assert correlation.abs().max() < 0.03
    spectrum = torch.fft.rfft(added[0, 0])[1:].abs().square()
    halves = spectrum[:14_000].mean() / spectrum[14_000:28_000].mean()
    assert halves.item() == pytest.approx(1, abs=0.06)  # white


def test_snr_is_torchaudios() -> None:
    """The library scales a given noise to the ratio in energy; ours has it on average over the draws."""
    audio, keys = noise(1, 59049).double(), torch.tensor([5])
    ours = add_noise(audio, torch.tensor([20.0]), keys) - audio
    theirs = torchaudio.functional.add_noise(audio, ours, torch.tensor([[20.0]]).double()) - audio
    assert level_db(ours) == pytest.approx(level_db(theirs), abs=SNR_DB)


def test_noise_depends_on_the_key_alone() -> None:
    audio = noise(2, 1000)
    snr = torch.tensor([10.0, 10.0])
    assert torch.equal(
        add_noise(audio, snr, torch.tensor([7, 8]))[0], add_noise(audio[:1], snr[:1], torch.tensor([7]))[0]
    )
    assert not torch.equal(add_noise(audio, snr, torch.tensor([9, 8])), add_noise(audio, snr, torch.tensor([7, 8])))


def test_silence_stays_silent() -> None:
    assert add_noise(torch.zeros(1, 1, 100), torch.tensor([0.0]), torch.tensor([1])).count_nonzero() == 0


def test_authors_noise_is_uniform_in_amplitude() -> None:
    snr = Noise(snr_db=(40.0, 80.0)).draw(torch.arange(20_000))["snr_db"]
    amplitude = 10 ** (-snr / 20)
    assert amplitude.min() > 1e-4
    assert amplitude.max() < 1e-2
    assert amplitude.mean().item() == pytest.approx((1e-2 + 1e-4) / 2, rel=0.02)


def test_refuses_ranges() -> None:
    with pytest.raises(ConfigError, match=r"gain.db must be a finite \(low, high\)"):
        Gain(db=(0, -6))
    with pytest.raises(ConfigError, match="probability of gain"):
        Gain(probability=1.1)
    with pytest.raises(ConfigError, match=r"noise.snr_db"):
        Noise(snr_db=(0, float("inf")))
