"""The kernels of the fused training pass, interpreted, against the plain PyTorch forms in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clmr.kernels import moments, pooling
from clmr.pooling import Part, empty_activations, gradient, gradient_sums, pooled

FLOAT32 = 2e-6  # relative to the largest: some roundings, and sums of a few hundred values
BFLOAT16 = 2.0**-7  # one rounding, which the interpreter takes downwards
# Rows, channels, frames: less than a tile; frames that fill no window; a last tile of a row, and channels of a program.
SMALL, WIDE, LONG = (4, 4, 1, 5), (2, 130, 1, 41), (3, 20, 1, 200)
CASES = [*((SMALL, pool) for pool in (1, 2, 3, 4, 5)), (WIDE, 1), (WIDE, 3), (LONG, 3), (LONG, 5)]


def activations(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Eighths, so that there are equal values, channels last."""
    generator = torch.Generator().manual_seed(seed)
    values = (8 * torch.randn(shape, generator=generator)).round() / 8 + 3
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def numbers(rows: int, groups: int, channels: int) -> Tensor:
    """Arbitrary ones, scales of both signs and zero among them, ``[rows, groups, channels]``."""
    found = torch.randn(rows, groups, channels, generator=torch.Generator().manual_seed(1))
    found[0] += 3
    found[1, :, 0] = 0
    return found


def close(got: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert got.shape == expected.shape
    tolerance = FLOAT32 if dtype == torch.float32 else BFLOAT16
    assert (got.double() - expected).abs().max() <= tolerance * max(1, expected.abs().max().item())


@pytest.mark.parametrize(("shape", "pool"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_plain_forms(shape: tuple[int, int, int, int], pool: int, dtype: torch.dtype) -> None:
    """Of a part in the midst of a batch: its rows are of the second group, and of the third."""
    rows, channels, _, frames = shape
    y, g = activations(shape, dtype), activations((rows, channels, 1, frames // pool), dtype, seed=2)
    affine, means = numbers(3, 4, channels), numbers(2, 4, channels)
    part, exact = (Part(values, 7, rows_per_group=4) for values in (y, y.double()))
    assert [group for group, _ in part.groups()] == ([1, 2] if rows > 1 else [1])
    out, expected = (empty_activations(values, rows, channels, frames // pool) for values in (y, y.double()))
    pooling.pool_rows(part, affine, pool, out)
    pooled(exact, affine.double(), pool, expected)
    close(out, expected, dtype)
    for got, wanted in zip(
        pooling.sum_rows(part, affine, g, pool),
        gradient_sums(exact, affine.double(), g.double(), pool),
        strict=True,
    ):
        close(got, wanted, torch.float32)
    found = pooling.spread_rows(part, affine, means, g, pool)
    assert found.is_contiguous(memory_format=torch.channels_last)
    close(found, gradient(exact, affine.double(), means.double(), g.double(), pool), dtype)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (3, 130, 1, 300), (2, 4, 1, 9000)])
def test_moments(shape: tuple[int, int, int, int]) -> None:
    """Of values far from zero, in float32, and of pieces of unequal length."""
    y = activations(shape) + 1000
    number, mean, squares = (found.double() for found in moments.piecewise_moments(y))
    assert number.sum() == shape[0] * shape[3]
    mean_of_all = (number[:, None] * mean).sum(dim=0) / number.sum()
    variance = (squares + number[:, None] * (mean - mean_of_all) ** 2).sum(dim=0) / number.sum()
    values = y.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean_of_all, values.mean(dim=1), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, values.var(dim=1, unbiased=False), rtol=1e-4, atol=0)


def test_sums_are_the_same_again() -> None:
    y, g = activations((3, 20, 1, 200)), activations((3, 20, 1, 66), seed=2)
    once, again = (pooling.sum_rows(Part(y, 0, 3), numbers(3, 1, 20), g, 3) for _ in range(2))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
