"""What polarity, gain, noise, filters and delay have in common: gradients, and rows that do not know of each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clmr.augment import Delay, Filter, Gain, Noise, Polarity
from clmr.augment.augmentation import Augmentation, Columns
from tests.clmr.augment.signals import extremes, noise, relative_error
from tests.tolerances import FLOAT32_FFT, FLOAT64

RATE = 8000
HZ = torch.tensor([200, 1200, 2200, 4000, 700, 3999], dtype=torch.float64)
HIGH = torch.tensor([True, True, False, False, True, False])
OPERATIONS: dict[str, tuple[Augmentation, Columns]] = {
    "polarity": (Polarity(), {}),
    "gain": (Gain(), {"db": torch.tensor([-6.0, -3.0, -0.1, 0.0, 2.0, -20.0])}),
    "clamped gain": (Gain(clamp=True), {"db": torch.tensor([-6.0, -3.0, -0.1, 0.0, 2.0, -20.0])}),
    "noise": (Noise(), {"snr_db": torch.linspace(0, 80, 6), "key": torch.arange(6)}),
    "authors' noise": (Noise(around_mean=True), {"snr_db": torch.linspace(0, 80, 6), "key": torch.arange(6)}),
    "first-order filter": (Filter(), {"hz": HZ, "high": HIGH}),
    "sinc filter": (Filter(kind="sinc"), {"hz": HZ, "high": HIGH}),
    "delay": (Delay(), {"ms": torch.tensor([0, 1, 2, 2, 500, 1])}),
}
LINEAR = [name for name in OPERATIONS if "noise" not in name and name != "clamped gain"]


def on(name: str, rows: list[int] | None = None) -> Callable[[Tensor], Tensor]:
    """The operation with the parameters of all six rows, or of those named."""
    operation, columns = OPERATIONS[name]
    chosen = {column: values if rows is None else values[rows] for column, values in columns.items()}
    return lambda audio: operation.apply(audio, chosen, RATE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient(name: str) -> None:
    """By finite differences in float64."""
    audio = noise(6, 37).double().requires_grad_()
    assert torch.autograd.gradcheck(on(name), (audio,), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient_of_extremes_is_finite(name: str) -> None:
    audio = extremes(50).requires_grad_()
    on(name)(audio).square().sum().backward()
    assert audio.grad is not None
    assert audio.grad.isfinite().all()


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    """f(a x + b y) = a f(x) + b f(y)."""
    x, y = noise(6, 6000, seed=1).double(), noise(6, 6000, seed=2).double()
    f = on(name)
    assert relative_error(f(2 * x - 0.3 * y), 2 * f(x) - 0.3 * f(y)) < FLOAT64


@pytest.mark.parametrize("frames", [1, 17, 5000])
@pytest.mark.parametrize("name", OPERATIONS)
def test_rows_apart_and_in_any_order(name: str, frames: int) -> None:
    audio = noise(6, frames)
    before = audio.clone()
    together = on(name)(audio)
    assert torch.equal(audio, before)
    assert together.shape == audio.shape
    assert together.dtype == torch.float32
    order = [3, 0, 5, 1, 4, 2]
    assert relative_error(on(name, order)(audio[order]), together[order]) < FLOAT32_FFT
    for row in range(6):
        # On the CPU to the bit; only the FFTs of the sinc filter may be cut up differently for other batches.
        alone = on(name, [row])(audio[row : row + 1])
        assert relative_error(alone, together[row : row + 1]) < FLOAT32_FFT
        assert name == "sinc filter" or torch.equal(alone[0], together[row])


@pytest.mark.parametrize("frames", [1, 3, 1000])
@pytest.mark.parametrize("name", OPERATIONS)
def test_extremes(name: str, frames: int) -> None:
    """Every parameter meets every hard signal; float64 is the reference."""
    audio = extremes(frames)
    for turn in range(6):
        rows = [(row + turn) % 6 for row in range(6)]
        result = on(name, rows)(audio)
        assert result.isfinite().all()
        assert result[0].count_nonzero() == 0  # silence stays silent
        assert (result - on(name, rows)(audio.double())).abs().max() < FLOAT32_FFT


@pytest.mark.parametrize("name", OPERATIONS)
def test_never_looks_at_the_device(name: str) -> None:
    """A meta tensor has a shape and no values: whatever would wait for a value of the device fails on it."""
    for dtype in (torch.float32, torch.float64):
        result = on(name)(torch.empty(6, 1, 5000, dtype=dtype, device="meta"))
        assert (result.shape, result.dtype, result.device.type) == ((6, 1, 5000), dtype, "meta")
