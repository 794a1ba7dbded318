"""The first-order filters' kernel, interpreted, against scipy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from clmr.augment.kernels import onepole
from clmr.augment.kernels.onepole import first_order
from tests.clmr.augment.signals import extremes, noise
from tests.tolerances import ROUNDED

BLOCK, BLOCKS = 32, 2  # small, so that short rows have several segments, each with its warm-up
POLES = torch.tensor([0.0, 0.3, -0.51, 0.944, -0.9999, 1.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onepole, "BLOCK", BLOCK)
    monkeypatch.setattr(onepole, "BLOCKS", BLOCKS)


def expected(audio: Tensor, pole: Tensor, direct: Tensor, delayed: Tensor) -> Tensor:
    """Of direct + delayed z^-1 / (1 - pole z^-1) = (direct + (delayed - direct pole) z^-1) / (1 - pole z^-1)."""
    rows = [
        signal.lfilter([d.item(), (after - d * p).item()], [1, -p.item()], x.double().numpy())
        for x, p, d, after in zip(audio[:, 0], pole, direct, delayed, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))[:, None]


def worst(got: Tensor, wanted: Tensor) -> float:
    error = (got.double() - wanted).abs().amax(dim=2) / wanted.abs().amax(dim=2).clamp(min=1e-300)
    return error.max().item()


@pytest.mark.parametrize("frames", [1, 2, BLOCK, BLOCK + 1, BLOCKS * BLOCK, BLOCKS * BLOCK + 1, 200])
def test_equals_scipy_at_the_seams(frames: int) -> None:
    audio = noise(len(POLES), frames)
    direct = torch.linspace(0.1, 1, len(POLES), dtype=torch.float64)
    delayed = torch.linspace(-0.7, 1, len(POLES), dtype=torch.float64)
    got = first_order(audio, POLES, direct, delayed)
    assert got.dtype == torch.float32
    assert worst(got, expected(audio, POLES, direct, delayed)) < ROUNDED * 1.01


def test_a_constant_leaves_a_high_pass_with_a_pole_near_one() -> None:
    """The output is the small difference of large numbers: float32 states would leave 1e-5 of the constant."""
    pole = torch.tensor([0.999], dtype=torch.float64)
    direct = (1 + pole) / 2
    audio = torch.ones(1, 1, 300)
    got = first_order(audio, pole, direct, direct * (pole - 1))
    steps = torch.arange(300, dtype=torch.float64)
    assert ((got[0, 0].double() / (direct * pole**steps) - 1).abs() < ROUNDED * 1.01).all()


def test_real_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert onepole.BLOCK != BLOCK
    pole, direct = torch.tensor([0.98]).double(), torch.tensor([0.5]).double()
    audio = noise(1, onepole.BLOCK + 5)
    assert worst(first_order(audio, pole, direct, pole), expected(audio, pole, direct, pole)) < ROUNDED * 1.01


def test_two_stretches_join_in_any_order() -> None:
    """The interpreter scans one sample after the other; a GPU joins stretches as it likes."""
    a, b, c = (0.9, 0.3), (0.5, -2.0), (0.25, 4.0)
    join = onepole._then.fn
    assert join(*join(*a, *b), *c) == pytest.approx(join(*a, *join(*b, *c)), rel=1e-15)


def test_nothing_delayed_is_the_input_to_the_bit() -> None:
    audio = extremes(BLOCK + 5)
    ones = torch.ones(len(audio), dtype=torch.float64)
    assert torch.equal(first_order(audio, -ones, ones, 0 * ones), audio)
    assert first_order(audio, -ones, 0 * ones, 0 * ones).count_nonzero() == 0


def test_rows_of_a_larger_tensor_and_batches() -> None:
    crops = noise(4, 2 * 90).view(4, 2, 90)
    second = crops[:, 1:]
    strided = crops[:, :1, ::2]
    pole, direct = POLES[2:], torch.linspace(0.2, 1, 4, dtype=torch.float64)
    for audio in (second, strided, strided.contiguous()):
        got = first_order(audio, pole, direct, pole)
        assert worst(got, expected(audio, pole, direct, pole)) < ROUNDED * 1.01
        for row in range(4):
            alone = slice(row, row + 1)
            assert torch.equal(first_order(audio[alone], pole[alone], direct[alone], pole[alone]), got[alone])
