"""The resampling kernel, interpreted, against the sum it stands for in float64, and against plain PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clmr.augment import resample as plain
from clmr.augment.kernels import resample as kernels
from tests.clmr.augment.signals import extremes, noise, tone
from tests.tolerances import FLOAT32_SINC

# Relative to the largest sample: products and sums of 130 taps in float32, and weights rounded to it; measured 3e-7.


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short filters and periods: short rows then have programs at both ends and between them."""
    for module in (plain, kernels):
        monkeypatch.setattr(module, "HALF", 6)
    monkeypatch.setattr(kernels, "EXPANDED", 16)
    monkeypatch.setattr(kernels, "LANES", 32)
    monkeypatch.setattr(kernels, "PERIODS", 4)


def whole(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def weight(t: NDArray[np.float64], ratio: float, half: int) -> NDArray[np.float64]:
    """The filter, c sinc(c t) w(t / L)."""
    c, reach = plain.ROLLOFF * min(1, 1 / ratio), half * max(1, ratio)
    window = sum(a * np.cos(k * math.pi * t / reach) for k, a in enumerate(plain.WINDOW))
    return np.where(np.abs(t) < reach, c * np.sinc(c * t) * window, 0.0)


def sums(audio: Tensor, p: Tensor, q: Tensor, frames: int, half: int) -> Tensor:
    """Every output from every input, in float64."""
    rows = []
    for x, inputs, outputs in zip(audio.double().numpy(), p.tolist(), q.tolist(), strict=True):
        n, i = np.arange(frames)[:, None], np.arange(len(x))
        rows.append(weight((i * outputs - n * inputs) / outputs, inputs / outputs, half) @ x)
    return torch.from_numpy(np.stack(rows))


def worst(got: Tensor, expected: Tensor) -> float:
    assert got.dtype == torch.float32
    return (got - expected).abs().amax().item()


# Up and down, not at all, twice as fast, and periods of more residues than a program has, one longer than the row.
P, Q = whole(3, 5, 1, 2, 67, 97), whole(4, 4, 1, 1, 50, 300)


@pytest.mark.parametrize(("length", "frames"), [(250, 220), (20, 150), (1, 20), (250, 1)])
def test_equals_the_sum(length: int, frames: int) -> None:
    audio = noise(len(P), length)[:, 0]
    assert worst(kernels.resample(audio, P, Q, frames), sums(audio, P, Q, frames, 6)) < FLOAT32_SINC


def test_equals_plain_pytorch_at_full_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    p, q, audio = whole(267, 3), whole(200, 4), noise(2, 400)[:, 0]
    got = kernels.resample(audio, p, q, 100)
    assert worst(got, sums(audio, p, q, 100, plain.HALF)) < FLOAT32_SINC
    torch.testing.assert_close(got, plain.resample(audio, p, q, 100), rtol=0, atol=FLOAT32_SINC)


def test_extremes() -> None:
    audio = extremes(150)[:, 0]
    p, q = whole(5, 5, 4, 3, 1, 9), whole(4, 6, 3, 4, 1, 8)
    got = kernels.resample(audio, p, q, 160)
    assert got.isfinite().all()
    assert got[0].count_nonzero() == 0
    assert worst(got, sums(audio, p, q, 160, 6)) < FLOAT32_SINC


def test_a_tone_moves_and_keeps_its_level() -> None:
    """Read 5 / 4 as fast, 400 Hz is 500 Hz."""
    got = kernels.resample(tone(400, 8000, 400)[0].float(), whole(5), whole(4), 300)[0, 40:240]
    expected = tone(500, 8000, 300)[0, 0, 40:240]
    assert (got - expected).abs().max() < 0.01  # the ripple of a filter as short as this


def test_rows_do_not_see_each_other() -> None:
    audio = noise(len(P), 120)[:, 0]
    audio[3] = 1e30
    together = kernels.resample(audio, P, Q, 100)
    for row in (0, 1, 4):
        single = slice(row, row + 1)
        assert torch.equal(kernels.resample(audio[single], P[single], Q[single], 100), together[single])


def test_far_into_a_long_row() -> None:
    """Positions are whole numbers over q: no error grows with n."""
    frames = 2000
    audio = torch.zeros(1, frames)
    audio[0, -400:] = noise(1, 400)[0, 0]
    got = kernels.resample(audio, whole(16), whole(17), frames)[0, -300:]
    n, i = np.arange(frames - 300, frames)[:, None], np.arange(frames)
    expected = weight((i * 17 - n * 16) / 17, 16 / 17, 6) @ audio[0].double().numpy()
    assert worst(got, torch.from_numpy(expected)) < FLOAT32_SINC


def test_work_of_the_documented_view() -> None:
    work = kernels.resample_work(whole(267), whole(200), 78828, 59049)
    assert work.memory == pytest.approx(0.55e6, rel=0.01)
    assert work.float32 == 2 * 59049 * 2 * math.ceil(6 * 267 / 200)


# The second program reads up to the last sample of its row, one further, two further; and one begins a sample early.
@pytest.mark.parametrize(
    ("p", "q", "length", "frames"), [(40, 32, 327, 256), (40, 32, 326, 256), (40, 32, 325, 256), (8, 64, 40, 64)]
)
def test_programs_at_the_ends_read_no_other_row(p: int, q: int, length: int, frames: int) -> None:
    audio = torch.full((3, length), 1e30)
    audio[1] = noise(1, length)[0, 0]
    ratio = whole(p, p, p), whole(q, q, q)
    got = kernels.resample(audio, *ratio, frames)[1:2]
    assert worst(got, sums(audio[1:2], whole(p), whole(q), frames, 6)) < FLOAT32_SINC
