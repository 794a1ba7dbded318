"""Samples, polarity, gain and noise: levels to a fraction of a decibel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from scipy import stats

from clmr.augment import Chain, Gain, Noise, add_noise, from_int16, gain, invert_polarity
from clmr.errors import ConfigError
from tests.clmr.augment.signals import extremes, level_db, noise, relative_error, sox
from tests.tolerances import FLOAT32_FILTER, FLOAT64, GAIN_DB, SNR_DB


def test_every_16_bit_sample() -> None:
    pcm = np.arange(-(2**15), 2**15, dtype=np.int16)
    samples = from_int16(torch.from_numpy(pcm).view(2, -1))
    assert samples.shape == (2, 1, 2**15)
    assert samples.dtype == torch.float32
    assert samples.flatten().tolist() == (pcm / 32768).tolist()
    assert pcm[0] == -(2**15)  # left as it was


@pytest.mark.needs("sox")
def test_polarity(tmp_path: Path) -> None:
    audio = noise(1, 1000)
    assert invert_polarity(audio).flatten().tolist() == [-sample for sample in audio.flatten().tolist()]
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


def test_gain_is_one_product_per_sample() -> None:
    audio, db = noise(5, 1000), torch.tensor([-20.0, -6.0, -1.0, 0.25, 12.0])
    for row in range(5):
        factor = np.float32(10 ** (db[row].item() / 20))
        assert np.array_equal(gain(audio, db)[row].numpy(), audio[row].numpy() * factor)


def test_gain_of_zero_decibels_changes_nothing() -> None:
    assert torch.equal(gain(extremes(100), torch.zeros(6)), extremes(100))


def test_clamp_as_in_vol() -> None:
    audio = 3 * noise(2, 500)
    columns = {"db": torch.tensor([-1.0, -2.0])}
    clipped = Gain(db=(-2, -1), clamp=True).apply(audio, columns, 8000)
    for row, db in enumerate((-1.0, -2.0)):
        assert relative_error(clipped[row], torchaudio.transforms.Vol(db, gain_type="db")(audio[row])) < FLOAT32_FILTER
    assert Gain(db=(-2, -1)).apply(audio, columns, 8000).abs().max() > 1


def test_only_the_authors_gain_clamps() -> None:
    loud = torch.full((1, 1, 4), 1.5)
    for preset, loudest in (("paper", 1.5), ("official", 1.0)):
        (operation,) = (each for each in Chain.preset(preset, 8000).operations if each.name == "gain")
        assert operation.apply(loud, {"db": torch.zeros(1)}, 8000).max() == loudest


@pytest.mark.parametrize("snr", [80.0, 40.0, 0.0])
def test_noise_is_as_far_below_the_signal_as_asked(snr: float) -> None:
    audio = noise(4, 59049).double()  # float32 would round noise at 80 dB
    keys = torch.tensor([1, 2, 3, -4])
    added = add_noise(audio, torch.full((4,), snr), keys) - audio
    for row in range(4):
        assert level_db(audio[row]) - level_db(added[row]) == pytest.approx(snr, abs=SNR_DB)
    correlation = torch.corrcoef(torch.cat([added[:, 0], audio[:, 0]])).fill_diagonal_(0)
    assert correlation.abs().max() < 0.03


def test_every_row_has_its_own_ratio_also_in_float32() -> None:
    audio, snr = noise(4, 59049), torch.tensor([40.0, 20.0, 0.0, -20.0])
    added = add_noise(audio, snr, torch.arange(4)).double() - audio.double()
    for row in range(4):
        assert level_db(audio[row]) - level_db(added[row]) == pytest.approx(snr[row].item(), abs=SNR_DB)


def test_noise_is_gaussian_and_white() -> None:
    """The keys are fixed, so this passes or fails for good."""
    audio = torch.ones(8, 1, 59049, dtype=torch.float64)
    added = (add_noise(audio, torch.zeros(8), torch.arange(8)) - audio)[:, 0].numpy()
    for row in added:
        assert stats.kstest(row, "norm").pvalue > 0.001
        assert stats.normaltest(row).pvalue > 0.001  # skewness and kurtosis
        # White: no correlation at any lag (5 standard deviations), and the power of every band of the spectrum is
        # the same. A band's sum is a chi-square of as many degrees of freedom as it has real numbers.
        spectrum = np.abs(np.fft.rfft(row, 2**17)) ** 2
        correlation = np.fft.irfft(spectrum)[:59049] / len(row)
        assert np.abs(correlation[1:1001]).max() < 5 / np.sqrt(len(row))
        power = np.abs(np.fft.rfft(row)[1:29501]) ** 2 * 2 / len(row)
        tail = stats.chi2.cdf(power.reshape(59, 500).sum(axis=1), df=1000)
        assert stats.kstest(tail, "uniform").pvalue > 0.001


@pytest.mark.parametrize("snr", [80.0, 40.0, 3.0])
def test_torchaudio_adds_the_same(snr: float) -> None:
    """Given our noise, it adds it at our level: its ratio is exact for every draw, ours on average over the draws."""
    audio, ratio = noise(3, 59049).double(), torch.full((3,), snr)
    ours = add_noise(audio, ratio, torch.tensor([5, 6, 7])) - audio
    theirs = torchaudio.functional.add_noise(audio, ours, ratio[:, None].double()) - audio
    for row in range(3):
        assert level_db(ours[row]) == pytest.approx(level_db(theirs[row]), abs=SNR_DB)
        scale = 10 ** ((level_db(theirs[row]) - level_db(ours[row])) / 20)
        # What is left is the rounding of the sums, 1e-16, over the noise, 1e-4.
        assert relative_error(scale * ours[row], theirs[row]) < FLOAT64


def test_noise_depends_on_the_key_alone() -> None:
    audio = noise(2, 1000)
    snr = torch.tensor([10.0, 10.0])
    assert torch.equal(
        add_noise(audio, snr, torch.tensor([7, 8]))[0], add_noise(audio[:1], snr[:1], torch.tensor([7]))[0]
    )
    assert not torch.equal(add_noise(audio, snr, torch.tensor([9, 8])), add_noise(audio, snr, torch.tensor([7, 8])))


@pytest.mark.parametrize("around_mean", [False, True])
def test_silence_stays_silent(around_mean: bool) -> None:
    audio = torch.cat([torch.zeros(1, 1, 100), noise(1, 100)])
    noisy = add_noise(audio, torch.zeros(2), torch.arange(2), around_mean)
    assert noisy[0].count_nonzero() == 0
    assert (noisy[1] != audio[1]).all()


def test_power_with_and_without_a_constant_offset() -> None:
    """The paper's ratio is one of powers; the authors' code takes the standard deviation of the row."""
    audio = 0.5 + 0.01 * noise(1, 59049).double()
    snr, keys = torch.tensor([40.0]), torch.tensor([3])
    whole = add_noise(audio, snr, keys) - audio
    assert level_db(whole) == pytest.approx(level_db(audio) - 40, abs=SNR_DB)
    departure = add_noise(audio, snr, keys, around_mean=True) - audio
    assert departure.std().item() == pytest.approx(0.01 * audio.std().item(), rel=0.01)
    applied = Noise(around_mean=True).apply(audio, {"snr_db": snr, "key": keys}, 8000) - audio
    assert torch.equal(applied, departure)
    constant = torch.full((1, 1, 1000), 0.5)
    assert torch.equal(add_noise(constant, snr, keys, around_mean=True), constant)


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
    with pytest.raises(ConfigError, match=r"gain.db must be a finite .* low >= -700, high <= 700, got \(-inf, 0\)"):
        Gain(db=(float("-inf"), 0))
    with pytest.raises(ConfigError, match=r"noise.snr_db must be a finite .* got \(-7000, 80\)"):
        Noise(snr_db=(-7000, 80))


@pytest.mark.parametrize("db", [float("nan"), float("inf"), float("-inf"), 700.1, -701.0])
def test_refuses_decibels(db: float) -> None:
    levels = torch.tensor([-6.0, db], dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"^db must be within \+-700 dB, got"):
        gain(noise(2, 100), levels)
    with pytest.raises(ConfigError, match=r"^snr_db must be within \+-700 dB, got"):
        add_noise(noise(2, 100), levels, torch.arange(2))


@pytest.mark.parametrize("db", [-700.0, 700.0])
def test_the_last_decibels_are_numbers(db: float) -> None:
    """Also of silence, and also as drawn."""
    audio, keys = extremes(100), torch.arange(6)
    for operation in (Gain(db=(db, db)), Noise(snr_db=(db, db)), Noise(snr_db=(-700, 700))):
        changed = operation.apply(audio, operation.draw(keys), 8000)
        assert changed.isfinite().all()
        assert changed[0].count_nonzero() == 0
        assert (changed[1] != audio[1]).any() or db == 700
