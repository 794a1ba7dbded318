"""The reverb's kernel, interpreted, against its transfer function in complex128."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clmr.augment.freeverb import Circle, Combs, comb_parameters
from clmr.augment.kernels.freeverb import PAIRS, wet_spectrum
from clmr.errors import ConfigError
from tests.tolerances import FLOAT32_TRANSFER

Complex = NDArray[np.complex128]

# Relative to a row's largest value. The largest is a peak, where a rounding of the phases is multiplied by 50; measured
# 2e-7 at most.


def corners() -> Combs:
    """Short and long, dull and bright, small and large reverberation."""
    percent = torch.tensor([[0, 0, 0], [100, 0, 100], [100, 100, 0], [55, 30, 71]], dtype=torch.float64)
    return comb_parameters(percent[:, 0], percent[:, 1], percent[:, 2], sample_rate=22050)


def alone(combs: Combs, row: int) -> Combs:
    """Those of one row."""
    return Combs(*(part[row : row + 1] for part in vars(combs).values()))


def spectrum(rows: int, on: Circle, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, on.bins, dtype=torch.complex64, generator=generator)


def expected(spectrum: Tensor, combs: Combs, allpass: Tensor, on: Circle) -> Complex:
    """Comb after comb as Freeverb defines them: ``u^N / (1 - feedback g u^N)``, g = (1 - p) / (1 - p u)."""
    bins = np.arange(on.bins)
    u = on.radius * np.exp(-2j * np.pi * bins / on.n_fft)
    rows = []
    for x, delays, feedback, pole in zip(
        spectrum.numpy(), *(part.tolist() for part in vars(combs).values()), strict=True
    ):
        loop = feedback * (1 - pole) / (1 - pole * u)
        power = np.stack([on.radius**n * np.exp(-2j * np.pi * (bins * n % on.n_fft) / on.n_fft) for n in delays])
        filters = power / (1 - loop * power)
        channels = allpass.numpy().astype(np.complex128) * filters.reshape(2, 8, -1).sum(axis=1)
        rows.append(x * channels.sum(axis=0))
    return np.stack(rows)


def worst(got: Tensor, wanted: Complex) -> float:
    error = np.abs(got.numpy() - wanted).max(axis=1) / np.abs(wanted).max(axis=1)
    return float(error.max())


# Both parities of a quarter of n_fft, a power of two, a bin that is its own mirror image or none, one program and two.
@pytest.mark.parametrize("n_fft", [16, 98, 256, 4 * PAIRS + 12])
def test_equals_the_transfer_function(n_fft: int) -> None:
    on, combs = Circle(n_fft, 10 ** (-79 / 20 / 72_000)), corners()
    x, allpass = spectrum(4, on), spectrum(2, on, seed=1)
    got = wet_spectrum(x, combs, allpass, on)
    assert got.dtype == torch.complex64
    assert worst(got, expected(x, combs, allpass, on)) < FLOAT32_TRANSFER


def test_phases_of_products_beyond_32_bits() -> None:
    on = Circle(60, 1.0)
    delays = torch.arange(16)[None] * 123_456_789 + 7  # up to 31 bits, times 31 bins
    combs = Combs(delays, torch.tensor([0.7]).double(), torch.tensor([0.3]).double())
    x, allpass = spectrum(1, on), spectrum(2, on, seed=1)
    assert worst(wet_spectrum(x, combs, allpass, on), expected(x, combs, allpass, on)) < FLOAT32_TRANSFER


def test_a_row_does_not_depend_on_the_batch() -> None:
    on, combs = Circle(64, 0.9999), corners()
    x, allpass = spectrum(4, on), spectrum(2, on, seed=1)
    together = wet_spectrum(x, combs, allpass, on)
    for row in (0, 3):
        assert torch.equal(wet_spectrum(x[row : row + 1], alone(combs, row), allpass, on)[0], together[row])


def test_silence_stays_silent() -> None:
    on = Circle(64, 0.9999)
    silence = torch.zeros(1, on.bins, dtype=torch.complex64)
    assert wet_spectrum(silence, alone(corners(), 1), spectrum(2, on), on).count_nonzero() == 0


@pytest.mark.parametrize(("n_fft", "bins"), [(27, 14), (64, 32)])
def test_refuses_bins_that_it_cannot_pair(n_fft: int, bins: int) -> None:
    x = torch.zeros(4, bins, dtype=torch.complex64)
    with pytest.raises(ConfigError, match="even number of points"):
        wet_spectrum(x, corners(), x[:2], Circle(n_fft, 0.9999))
