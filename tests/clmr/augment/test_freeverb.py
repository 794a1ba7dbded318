"""The transfer function of sox's reverb against its filters run sample by sample, and against the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import soundfile
import torch
from scipy import signal
from torch import Tensor

from clmr.augment.freeverb import (
    PLANE_WIDTH,
    Circle,
    Combs,
    allpass_delays,
    allpass_response,
    circle,
    comb_parameters,
    wet_spectrum,
)
from tests.clmr.augment.signals import RATES, noise, relative_error
from tests.tolerances import FLOAT64, SOX

ROOMS = [0, 3.3, 10, 21.7, 33.3, 50, 64.1, 77, 88.8, 95, 99, 100]


def percent(*rows: tuple[float, float, float]) -> tuple[Tensor, Tensor, Tensor]:
    reverberance, damping, room_scale = torch.tensor(rows, dtype=torch.float64).T
    return reverberance, damping, room_scale


def row(combs: Combs, index: int) -> Combs:
    here = slice(index, index + 1)
    return Combs(combs.delays[here], combs.feedback[here], combs.damping[here])


def channels(audio: Tensor, combs: Combs, sample_rate: int) -> Tensor:
    """The wet signal of one row, a channel each, by recursion in the time domain: ``[T]`` -> ``[2, T]``."""
    x, feedback, pole = audio.double().numpy(), combs.feedback.item(), combs.damping.item()
    wet = torch.zeros(2, len(x), dtype=torch.float64)
    for channel, delays in enumerate(combs.delays.view(2, 8).tolist()):
        for delay in delays:
            # z^-D / (1 - g z^-D), g = feedback (1 - p) / (1 - p z^-1), both times 1 - p z^-1
            above, below = torch.zeros(2, delay + 2, dtype=torch.float64)
            above[delay], above[delay + 1] = 1, -pole
            below[0] += 1
            below[1] -= pole
            below[delay] -= feedback * (1 - pole)
            wet[channel] += torch.from_numpy(signal.lfilter(above.numpy(), below.numpy(), x))
        for delay in allpass_delays(sample_rate)[channel]:
            above, below = torch.zeros(2, delay + 1, dtype=torch.float64)
            above[0], above[delay], below[0], below[delay] = -1, 1.5, 1, -0.5
            wet[channel] = torch.from_numpy(signal.lfilter(above.numpy(), below.numpy(), wet[channel].numpy()))
    return 0.015 * wet


def test_ends_of_the_ranges() -> None:
    combs = comb_parameters(*percent((0, 0, 0), (100, 100, 100)), 44100)
    assert combs.feedback.tolist() == pytest.approx([0.3, 0.98])
    assert combs.damping.tolist() == pytest.approx([0.2, 0.5])
    assert combs.delays[1].tolist() == [
        1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617,
        1128, 1176, 1289, 1344, 1434, 1479, 1569, 1605,
    ]  # fmt: skip
    assert combs.delays[0, [0, 7, 8, 15]].tolist() == [112, 162, 113, 161]
    assert allpass_delays(44100) == ((225, 341, 441, 556), (237, 329, 453, 544))


@pytest.mark.needs("sox")
@pytest.mark.parametrize("sample_rate", RATES)
def test_both_channels_are_those_of_sox(sample_rate: int, tmp_path: Path) -> None:
    """A delay that is off by one sample in one of the 24 filters would be heard at -20 dB."""
    audio = noise(1, 3000)
    soundfile.write(tmp_path / "in.wav", audio[0, 0].numpy(), sample_rate, subtype="FLOAT")
    for room in ROOMS:
        subprocess.run(
            [
                "sox",
                "-V1",
                "-D",
                tmp_path / "in.wav",
                "-c",
                "2",
                tmp_path / "out.wav",
                "reverb",
                "-w",
                "41.5",
                "62",
                f"{room}",
            ],
            check=True,
        )
        expected = soundfile.read(tmp_path / "out.wav")[0].T
        combs = comb_parameters(*percent((41.5, 62, room)), sample_rate)
        assert relative_error(channels(audio[0, 0], combs, sample_rate), expected) < SOX


@pytest.mark.parametrize("sample_rate", RATES)
def test_spectrum_is_that_of_the_filters(sample_rate: int) -> None:
    settings = percent((0, 0, 0), (50, 20, 70), (100, 0, 100), (100, 100, 0), (90, 50, 33.3))
    combs, audio = comb_parameters(*settings, sample_rate), noise(5, 5000)[:, 0].double()
    on = circle(5000, sample_rate, torch.float64)
    weight = on.radius ** torch.arange(5000, dtype=torch.float64)
    spectrum = torch.fft.rfft(audio * weight, on.n_fft)
    wet = torch.fft.irfft(wet_spectrum(spectrum, combs, allpass_response(sample_rate, on), on), on.n_fft)[:, :5000]
    for index in range(5):
        expected = channels(audio[index], row(combs, index), sample_rate).mean(dim=0)
        # A millionth of what would wrap without the circle, 160 dB below, is left.
        assert relative_error(wet[index] / weight, expected) < 1e-7


@pytest.mark.parametrize(
    "bins", [2, PLANE_WIDTH - 1, PLANE_WIDTH, PLANE_WIDTH + 1, 3 * PLANE_WIDTH, 3 * PLANE_WIDTH + 1]
)
def test_at_the_seams_of_its_planes(bins: int) -> None:
    on = Circle(2 * (bins - 1), 0.999)
    combs = comb_parameters(*percent((10, 0, 0), (100, 30, 60), (70, 100, 100)), 8000)
    allpass = allpass_response(8000, on)
    ones = torch.ones(3, bins, dtype=torch.complex128)
    k = torch.arange(bins)
    loop = combs.feedback * (1 - combs.damping)
    gain = loop[:, None] / (1 - combs.damping[:, None] * on.power(1, k))
    power = torch.stack([on.power(delay[:, None], k) for delay in combs.delays.T], dim=1)
    comb = (power / (1 - gain[:, None] * power)).view(3, 2, 8, bins).sum(dim=2)
    assert relative_error_of(wet_spectrum(ones, combs, allpass, on), (comb * allpass).sum(dim=1)) < FLOAT64


def relative_error_of(got: Tensor, expected: Tensor) -> float:
    """Largest difference of complex numbers over the largest expected magnitude."""
    return ((got - expected).abs().max() / expected.abs().max()).item()


def test_powers_on_the_circle() -> None:
    on, k = Circle(24, 0.9), torch.arange(13)
    z = on.power(-1, k)
    assert relative_error_of(on.power(5, k), z**-5) < FLOAT64
    assert z.abs().tolist() == pytest.approx([1 / 0.9] * 13)
    assert z[6].imag.item() == pytest.approx(1 / 0.9)  # a quarter turn


@pytest.mark.parametrize("frames", [1, 7, 56, 1009, 20736, 43740, 59049, 59051, 100_003])
@pytest.mark.parametrize("sample_rate", RATES)
def test_transforms_are_fast_and_not_much_longer_than_the_row(frames: int, sample_rate: int) -> None:
    on = circle(frames, sample_rate, torch.float32)
    longest = int(comb_parameters(*percent((0, 0, 100)), sample_rate).delays.max())
    assert on.n_fft >= max(1.2 * frames, 4 * longest)
    assert on.n_fft < 1.35 * frames + 4.5 * longest
    left = on.n_fft
    for prime in (2, 3, 5):
        while left % prime == 0:
            left //= prime
    assert left == 1
    assert on.radius**on.n_fft == pytest.approx(10 ** (-79 / 20))
    assert on.bins == on.n_fft // 2 + 1
