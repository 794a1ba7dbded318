"""Reverberation against the sox program in every corner of its settings, and against the physics of a room."""

from __future__ import annotations

import itertools
import math
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clmr.augment import first_order_filter
from clmr.augment.freeverb import Circle
from clmr.augment.reverb import Reverb, reverb
from clmr.errors import ConfigError
from tests.clmr.augment.signals import RATES, extremes, level_db, noise, relative_error, sox
from tests.tolerances import FLOAT32_FFT, FLOAT64, REVERB_FLOAT32_DB, REVERB_FLOAT64_DB

MODULE = import_module("clmr.augment.reverb")  # the package's attribute of that name is the function
CROPS = {22050: 59049, 16000: 43740, 8000: 20736}
GRID = [
    *itertools.product((0, 50, 99, 100), (0, 100), (0, 100)),
    (0, 50, 50), (33.3, 66.6, 12.5), (50, 50, 50), (99, 99, 0), (99, 0, 99), (80, 20, 61.7), (100, 50, 0),
]  # fmt: skip


def columns(*settings: tuple[float, float, float]) -> Tensor:
    """Reverberance, damping and room scale of some rows, ``[3, N]``."""
    return torch.tensor(settings, dtype=torch.float64).T


def wet(audio: Tensor, settings: Tensor, sample_rate: int) -> Tensor:
    return reverb(audio, settings[0], settings[1], settings[2], sample_rate)


def ratio_db(got: Tensor, expected: Tensor) -> float:
    """Decibels from the expected signal down to the difference."""
    return level_db(expected) - level_db(got.double() - expected)


def impulse_response(setting: tuple[float, float, float], sample_rate: int, frames: int) -> Tensor:
    click = torch.zeros(1, 1, frames, dtype=torch.float64)
    click[..., 0] = 1
    return wet(click, columns(setting), sample_rate)[0, 0]


@pytest.mark.needs("sox")
@pytest.mark.parametrize("sample_rate", RATES)
def test_equals_sox(sample_rate: int, tmp_path: Path) -> None:
    audio = noise(1, CROPS[sample_rate])
    rows = audio.expand(len(GRID), -1, -1)
    got, reference = (wet(rows.to(dtype), columns(*GRID), sample_rate) for dtype in (torch.float32, torch.float64))
    for row, setting in enumerate(GRID):
        expected = sox(audio, sample_rate, tmp_path, "reverb", *(f"{value}" for value in setting), "channels", "1")
        assert expected.shape == audio.shape
        assert ratio_db(got[row], expected[0]) > REVERB_FLOAT32_DB, setting
        assert ratio_db(reference[row], expected[0]) > REVERB_FLOAT64_DB, setting


@pytest.mark.needs("sox")
@pytest.mark.parametrize("frames", [1, 19, 20, 112, 1009, 4999, 10_000])
def test_equals_sox_at_any_length(frames: int, tmp_path: Path) -> None:
    """Shorter than the shortest echo, which is 20 samples away in the smallest room; prime; even."""
    audio = noise(1, frames, seed=1)
    for setting in ((70.5, 40, 0), (100, 0, 100)):
        expected = sox(audio, 8000, tmp_path, "reverb", *(f"{value}" for value in setting), "channels", "1")
        assert ratio_db(wet(audio, columns(setting), 8000), expected) > REVERB_FLOAT32_DB
        assert ratio_db(wet(audio.double(), columns(setting), 8000), expected) > REVERB_FLOAT64_DB


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_in_a_batch_equals_the_row_alone_in_any_order(dtype: torch.dtype) -> None:
    audio, settings = noise(7, 59049).to(dtype), columns(*GRID[:4], *GRID[-3:])
    together = wet(audio, settings, 22050)
    assert together.dtype == dtype
    tolerance = FLOAT32_FFT if dtype == torch.float32 else FLOAT64
    for row in range(7):
        alone = wet(audio[row : row + 1], settings[:, row : row + 1], 22050)
        assert relative_error(together[row : row + 1], alone.double()) < tolerance
    turned = wet(audio.flip(0), settings.flip(1), 22050).flip(0)
    assert relative_error(turned, together.double()) < tolerance


def test_linear_and_the_same_at_any_time() -> None:
    first, second = noise(1, 6000).double(), noise(1, 6000, seed=1).double()
    settings = columns((90, 10, 80))
    first_wet, second_wet = wet(first, settings, 16000), wet(second, settings, 16000)
    assert relative_error(wet(2 * first - second, settings, 16000), 2 * first_wet - second_wet) < 1e-7
    later = torch.nn.functional.pad(first, (1234, 0))
    assert relative_error(wet(later, settings, 16000)[..., 1234:], first_wet) < 1e-7
    assert relative_error(wet(first[..., :777], settings, 16000), first_wet[..., :777]) < 1e-7  # causal


def test_first_echo() -> None:
    """The sound itself, then nothing until the shortest comb has passed it on: 1116 samples at 44,100 Hz."""
    for room_scale, samples in ((100, 1116 / 2), (0, 1116 / 20)):
        response = impulse_response((50, 50, room_scale), 22050, 2000)
        assert response[0].item() == pytest.approx(1, abs=1e-6)
        audible = (response[1:].abs() > 1e-4).nonzero().flatten() + 1
        assert audible[0].item() == pytest.approx(samples, abs=1)


def test_rings_longer_with_reverberance() -> None:
    """It falls by 20 log10(feedback) per round; a round is the delay and that of the low-pass, p / (1 - p) samples."""
    times = []
    for reverberance in (0, 25, 50, 75, 100):
        response = impulse_response((reverberance, 0, 50), 8000, 60_000)[400:]
        left = response.square().flip(0).cumsum(0).flip(0)
        decibels = 10 * torch.log10(left / left[0])
        start, end = ((decibels < level).nonzero()[0].item() for level in (-5, -25))
        times.append(3 * (end - start) / 8000)
    assert times == sorted(times)
    # Of the 8 combs the shortest and the longest bound the decay.
    feedback = 1 - math.exp((math.log(1 - 0.98) - math.log(1 - 0.3)) * 0.5) * (1 - 0.3)
    rounds = -60 / (20 * math.log10(feedback))
    shortest, longest = (0.55 * length * 8000 / 44100 / 8000 * rounds for length in (1116, 1617))
    assert 0.9 * shortest < times[2] < 1.1 * longest
    assert times[4] / times[0] > 20


def test_damping_takes_the_highs_from_the_tail() -> None:
    rate = 22050
    shares = []
    for damping in (0, 50, 100):
        tail = impulse_response((80, damping, 50), rate, 16_384)[8192:].view(1, 1, -1)
        highs = first_order_filter(tail, torch.tensor([4000.0]), torch.tensor([True]), rate)
        shares.append(level_db(highs) - level_db(tail))
    assert shares[0] > shares[1] + 3 > shares[2] + 6


@pytest.mark.parametrize("frames", [1, 10, 5000])
@pytest.mark.parametrize("sample_rate", [*RATES, 200, 44100, 96000])
def test_extreme_signals_stay_finite(frames: int, sample_rate: int) -> None:
    audio = extremes(frames)
    for setting in ((0, 0, 0), (100, 0, 100), (100, 100, 0)):
        out = wet(audio, columns(setting).expand(-1, len(audio)), sample_rate)
        assert out.isfinite().all()
        assert out.abs().max() < 20
        assert out[0].count_nonzero() == 0  # silence


def test_no_samples_and_no_rows() -> None:
    assert wet(torch.zeros(1, 1, 0), columns((50, 50, 50)), 8000).shape == (1, 1, 0)
    none = torch.zeros(0)
    assert reverb(torch.zeros(0, 1, 9), none, none, none, 8000).shape == (0, 1, 9)


def test_gradients_of_the_audio() -> None:
    audio = noise(2, 12).double().requires_grad_()  # at this rate delays are 1 to 8 samples long
    settings = columns((100, 0, 0), (30, 60, 100))
    assert torch.autograd.gradcheck(lambda x: wet(x, settings, 200), audio)
    one = audio[:1, :, :8].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: wet(x, settings[:, :1], 200) ** 2, one)


def test_what_inference_leaves_behind_can_be_trained_with() -> None:
    settings = columns((50, 50, 50))
    with torch.inference_mode():
        expected = wet(noise(1, 777), settings, 11025)
    audio = noise(1, 777).requires_grad_()
    again = wet(audio, settings, 11025)
    again.sum().backward()
    assert torch.equal(again.detach(), expected)
    assert audio.grad is not None


def test_bfloat16_autocast_does_not_reach_it() -> None:
    audio, settings = noise(2, 3000), columns((50, 50, 50), (90, 0, 100))
    expected = wet(audio, settings, 8000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(wet(audio, settings, 8000), expected)


def test_any_default_device() -> None:
    audio, settings = noise(2, 3001), columns((50, 50, 50), (90, 0, 100))
    expected = wet(audio, settings, 8000)
    MODULE._kept_constants.cache_clear()
    with torch.device("meta"):
        assert torch.equal(wet(audio, settings, 8000), expected)


def test_keeps_little_of_many_and_of_long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, make, made = MODULE._kept_constants, MODULE._constants, []

    def make_unkept(sample_rate: int, on: Circle, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        made.append(on.n_fft)
        constants: tuple[Tensor, ...] = make(sample_rate, on, dtype, device)
        return constants

    monkeypatch.setattr(MODULE, "_constants", make_unkept)
    kept.cache_clear()
    for frames in range(5000, 30_000, 1000):
        wet(noise(1, frames), columns((50, 50, 50)), 8000)
    assert kept.cache_info().currsize == kept.cache_info().maxsize == 8
    largest = kept(8000, Circle(MODULE.MOST_KEPT, 1.0), torch.float64, torch.device("cpu"))
    assert sum(part.nbytes for part in largest) < 9e6  # times 8
    # Rows that differ by some samples share an entry, and what is longer leaves none.
    before = kept.cache_info().misses
    wet(noise(1, 12_345), columns((50, 50, 50)), 8000)
    wet(noise(1, 12_346), columns((50, 50, 50)), 8000)
    assert kept.cache_info().misses == before + 1
    assert not made
    wet(noise(1, 220_000), columns((50, 50, 50)), 8000)
    assert len(made) == 1
    assert made[0] > MODULE.MOST_KEPT
    assert kept.cache_info().misses == before + 1


def test_draws_percentages() -> None:
    drawn = Reverb().draw(torch.arange(5000))
    assert list(drawn) == ["reverberance", "damping", "room_scale"]
    for values in drawn.values():
        assert values.dtype == torch.float64
        assert 0 <= values.min() < 1
        assert 99 < values.max() < 100
        assert values.mean().item() == pytest.approx(50, abs=2)
    assert torch.corrcoef(torch.stack(list(drawn.values()))).fill_diagonal_(0).abs().max() < 0.06
    whole = Reverb(whole=True).draw(torch.arange(5000))["damping"]
    assert whole.unique().tolist() == list(range(100))  # never 100, as in the authors' code
    narrow = Reverb(room_scale=(20, 30)).draw(torch.arange(500))["room_scale"]
    assert 20 <= narrow.min() <= narrow.max() < 30


def test_applies_its_columns_and_clamps() -> None:
    audio, (reverberance, damping, room_scale) = noise(2, 3000), columns((100, 0, 50), (10, 20, 30))
    drawn = {"room_scale": room_scale, "damping": damping, "reverberance": reverberance}
    expected, clipped = (reverb(audio, reverberance, damping, room_scale, 8000, clamp=clamp) for clamp in (False, True))
    assert torch.equal(Reverb().apply(audio, drawn, 8000), expected)
    assert expected.abs().max() > 1
    assert torch.equal(Reverb(clamp=True).apply(audio, drawn, 8000), clipped)
    assert clipped.abs().max() <= 1


def test_refuses_what_does_not_fit() -> None:
    audio, good = torch.zeros(2, 1, 100), torch.full((2,), 50.0)
    with pytest.raises(ConfigError, match=r"\[N, 1, T\], got torch.float32 \[2, 2, 100\]"):
        reverb(audio.expand(2, 2, 100), good, good, good, 8000)
    with pytest.raises(ConfigError, match=r"float32 or float64 audio .* got torch.int16"):
        reverb(audio.short(), good, good, good, 8000)
    with pytest.raises(ConfigError, match="200 samples per second or more, got 199"):
        reverb(audio, good, good, good, 199)
    with pytest.raises(ConfigError, match=r"damping must have one value per row of audio, \[2\], got \[3\]"):
        reverb(audio, good, torch.zeros(3), good, 8000)
    for bad in (-1.0, 100.1, math.nan):
        with pytest.raises(ConfigError, match="room_scale is a percentage from 0 to 100, got"):
            reverb(audio, good, good, torch.tensor([50.0, bad]), 8000)
    with pytest.raises(ConfigError, match=r"reverb.damping is a percentage, at most 100, got \(0, 101\)"):
        Reverb(damping=(0, 101))
    with pytest.raises(ConfigError, match=r"reverb.room_scale must be a finite"):
        Reverb(room_scale=(-1, 50))
    with pytest.raises(ConfigError, match="probability of reverb"):
        Reverb(probability=2)


@pytest.mark.needs("module:triton")
def test_kernel_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a kernel it stands in for the plain form, with the same result and gradient."""
    settings = columns((20, 50, 70), (95, 0, 30))
    audio = noise(2, 150).requires_grad_()
    results = []
    for chosen in (False, True):
        monkeypatch.setattr(MODULE, "use_kernels", lambda _, chosen=chosen: chosen)
        out = wet(audio, settings, 1000)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), audio)))
    for plain, kernel in zip(*results, strict=True):
        assert not torch.equal(kernel, plain)  # it was another computation
        assert ratio_db(kernel, plain) > REVERB_FLOAT32_DB
