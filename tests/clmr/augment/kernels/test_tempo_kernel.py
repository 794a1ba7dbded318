"""The kernels of the stretch, interpreted, against sox's algorithm written out in loops, and against plain PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clmr.augment import tempo
from clmr.augment.kernels import tempo as kernels
from clmr.augment.tempo import TempoPlan, tempo_plan
from tests.clmr.augment.signals import extremes, noise
from tests.tolerances import FLOAT32_FADES


@pytest.fixture(autouse=True)
def one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 1,000 Hz the threads share the 16 taps of an overlap in one turn."""
    monkeypatch.setattr(kernels, "UNROLL", 1)


def factors(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def samples(x: NDArray[np.float64], at: int, length: int) -> NDArray[np.float64]:
    """Zeros around the row."""
    index = np.arange(at, at + length)
    return np.where((index >= 0) & (index < len(x)), x[index.clip(0, len(x) - 1)], 0.0)


def loops(audio: Tensor, plan: TempoPlan, row: int) -> tuple[list[int], NDArray[np.float64]]:
    """Offsets and result of one row, segment by segment and lag by lag, in float64."""
    x = audio[row].double().numpy()
    peak = np.abs(x).max()
    whole = np.rint(x * 2.0 ** (19 - math.frexp(peak)[1]))
    starts, step, overlap = plan.starts[row].tolist(), plan.step, plan.overlap
    offsets, pieces, at = [], [], 0
    for s in range(int(plan.count[row])):
        if s == 0:
            offset = plan.search // 2
        else:
            tail = samples(whole, at + step, overlap)
            sums = [((samples(whole, starts[s] + lag, overlap) - tail) ** 2).sum() for lag in range(plan.search)]
            offset = sums.index(min(sums))
        before, at = at, starts[s] + offset
        piece = samples(x, at, step)
        if s > 0:
            fade = np.arange(overlap) / overlap
            piece[:overlap] = (1 - fade) * samples(x, before + step, overlap) + fade * piece[:overlap]
        offsets.append(offset)
        pieces.append(piece)
    return offsets, np.concatenate(pieces)[: int(plan.lengths[row])]


def test_equals_the_loops() -> None:
    audio = noise(4, 600)[:, 0]
    audio[3] = torch.sin(torch.arange(600) / 2.9)
    plan = tempo_plan(factors(0.74, 1.0, 1.335, 0.871), 1000, 600)
    offsets = kernels.search_offsets(audio, plan)
    stretched = kernels.stretch(audio, plan, offsets)
    assert offsets.dtype == torch.int64
    assert stretched.shape == (4, 811)
    for row in range(4):
        expected, signal = loops(audio, plan, row)
        assert offsets[row, : len(expected)].tolist() == expected
        assert (offsets[row, len(expected) :] == plan.search // 2).all()
        assert np.abs(stretched[row, : len(signal)].numpy() - signal).max() < FLOAT32_FADES
        assert stretched[row, len(signal) :].count_nonzero() == 0


# At 22,050 Hz 12 lags per thread, or 4 in four times the threads; at 8,000 Hz 4 of the usual number.
@pytest.mark.parametrize(("sample_rate", "frames", "lags"), [(22050, 4200, 24), (22050, 4200, 4), (8000, 1600, 24)])
def test_equals_plain_pytorch_to_the_bit(
    sample_rate: int, frames: int, lags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(kernels, "MOST_LAGS", lags)
    audio = noise(2, frames)[:, 0]
    plan = tempo_plan(factors(1.3, 1.21), sample_rate, frames)
    assert plan.count.min() > 1
    offsets = kernels.search_offsets(audio, plan)
    assert torch.equal(offsets, tempo.search_offsets(audio, plan))
    stretched = kernels.stretch(audio, plan, offsets)
    torch.testing.assert_close(stretched, tempo.stretch(audio, plan, offsets), rtol=0, atol=FLOAT32_FADES)


def test_a_stretch_so_long_that_every_window_begins_before_the_row() -> None:
    audio = noise(1, 60)[:, 0]
    plan = tempo_plan(factors(0.02), 1000, 60)
    assert plan.starts[0, 4] < 0
    assert torch.equal(kernels.search_offsets(audio, plan), tempo.search_offsets(audio, plan))


def test_extremes() -> None:
    """Silence and constants, where every lag is as good; equal periods; and the smallest numbers."""
    audio = torch.cat([extremes(300)[:, 0], 1e-30 * noise(1, 300)[:, 0]])
    plan = tempo_plan(torch.linspace(0.8, 1.3, 7, dtype=torch.float64), 1000, 300)
    offsets = kernels.search_offsets(audio, plan)
    assert torch.equal(offsets, tempo.search_offsets(audio, plan))
    assert (offsets[0, 1 : int(plan.count[0])] == 0).all()
    torch.testing.assert_close(
        kernels.stretch(audio, plan, offsets), tempo.stretch(audio, plan, offsets), rtol=0, atol=FLOAT32_FADES
    )


@pytest.fixture
def near_tie() -> tuple[Tensor, TempoPlan, int]:
    """A row in which lag 110 is better than lag 3 by 1 in 2^41, beyond float32; its segment is the second."""
    plan = tempo_plan(factors(1.34), 8000, 1400)
    start, tail = int(plan.starts[0, 1]), plan.step
    assert start >= tail + plan.overlap  # they do not share samples
    generator = torch.Generator().manual_seed(3)
    whole = torch.randint(-(2**18), 2**18, (1, 1400), generator=generator).float()
    error = torch.randint(1, 2**16, (plan.overlap,), generator=generator).float()
    pattern = whole[0, tail : tail + plan.overlap].clone()
    whole[0, start + 3 : start + 3 + plan.overlap] = pattern + error + 1
    error[0] = 0  # in place of 1
    whole[0, start + 3] = pattern[0] + 1
    whole[0, start + 110 : start + 110 + plan.overlap] = pattern - error - (error > 0).float()
    whole[0, 0] = 2**19 - 1  # the peak: the scale is 2^19
    return whole / 2**19, plan, 1


def test_float64_decides_what_float32_cannot(
    near_tie: tuple[Tensor, TempoPlan, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, plan, segment = near_tie
    offsets = kernels.search_offsets(audio, plan)
    assert offsets[0, segment] == 110
    assert torch.equal(offsets, tempo.search_offsets(audio, plan))
    monkeypatch.setattr(kernels, "_slack", lambda turns: 0.0)
    assert kernels.search_offsets(audio, plan)[0, segment] == 3


def test_float32_decides_as_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(3, 400)[:, 0]
    plan = tempo_plan(factors(0.8, 0.9, 1.2), 1000, 400)
    offsets = kernels.search_offsets(audio, plan)
    monkeypatch.setattr(kernels, "_slack", lambda turns: 1e9)
    assert torch.equal(kernels.search_offsets(audio, plan), offsets)


def test_rows_do_not_see_each_other() -> None:
    audio = torch.cat([noise(2, 400)[:, 0], torch.full((1, 400), 1e30)])
    rates = factors(0.75, 1.2, 1.0)
    together = tempo_plan(rates, 1000, 400)
    offsets = kernels.search_offsets(audio, together)
    stretched = kernels.stretch(audio, together, offsets)
    for row in range(2):
        alone = tempo_plan(rates[row : row + 1], 1000, 400)
        single = kernels.search_offsets(audio[row : row + 1], alone)
        assert torch.equal(offsets[row : row + 1, : single.shape[1]], single)
        result = kernels.stretch(audio[row : row + 1], alone, single)
        assert torch.equal(stretched[row : row + 1, : result.shape[1]], result)


def test_work_of_the_documented_view() -> None:
    plan = tempo_plan(factors(2 ** (-5 / 12)), 22050, 59049)
    assert kernels.search_work(plan).float32 == pytest.approx(13e6, rel=0.02)
    assert kernels.stretch_work(plan).memory == pytest.approx(0.55e6, rel=0.02)
