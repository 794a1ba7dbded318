"""The kernels of the fused training pass against their plain PyTorch forms in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.gpu.check import Figures, Target
from benchmarks.gpu.compare import at_most, distance

FORWARD = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
# Of float32 numbers, in another order; and one maximum within a rounding of 0, which the ReLU passes in one of both
# ways, is 4e-4 of the largest shape's sums.
SUMS = 2e-3
# Where two numbers of a window are equal once rounded, the gradient goes to the first: it stands elsewhere in float64.
BACKWARD = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
# Rows, channels, frames and pooling, as layers of the encoders for three sample rates have them.
SHAPES = ((9, 128, 19683, 3), (9, 256, 729, 3), (8, 512, 1, 1), (9, 256, 730, 2), (9, 256, 62, 4), (9, 256, 62, 5))
SMALL = ((3, 20, 50, 3), (4, 130, 11, 1))


def _values(shape: tuple[int, ...], seed: int, target: Target, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator(target.device).manual_seed(seed)
    values = torch.randn(shape, generator=generator, device=target.device)
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def _apart(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30))


def moments(target: Target) -> Figures:
    """Mean and variance of a layer's output, piece by piece, of numbers far from zero."""
    target.need_triton()
    from clmr.kernels.moments import piecewise_moments

    worst = 0.0
    for rows, channels, frames, _ in SMALL if target.quick else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            y = (_values((rows, channels, 1, frames), 0, target, dtype) + 10).contiguous(
                memory_format=torch.channels_last
            )
            n, mean, squares = (each.double() for each in piecewise_moments(y))
            whole = (n[:, None] * mean).sum(dim=0) / n.sum()
            variance = (squares + n[:, None] * (mean - whole) ** 2).sum(dim=0) / n.sum()
            exact = y.double().transpose(0, 1).flatten(1)
            where = f"{rows} rows, {channels} channels, {dtype}"
            worst = max(worst, at_most(f"{where}: mean, relative", distance(whole, exact.mean(dim=1)), 1e-6))
            found = distance(variance, exact.var(dim=1, correction=0))
            worst = max(worst, at_most(f"{where}: variance, relative", found, 1e-5))
    return {"relative_difference": worst}


def pooling(target: Target) -> Figures:
    """Batch norm, pooling and ReLU in one pass, and their gradients."""
    target.need_triton()
    from clmr.kernels.pooling import pool_rows, spread_rows, sum_rows
    from clmr.pooling import Part, empty_activations, gradient, gradient_sums, pooled

    worst: dict[str, float] = {}
    for rows, channels, frames, pool in SMALL if target.quick else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            y = _values((rows, channels, 1, frames), 0, target, dtype)
            g = _values((rows, channels, 1, frames // pool), 1, target, dtype)
            generator = torch.Generator().manual_seed(2)
            affine = torch.randn(3, 4, channels, generator=generator).to(target.device)
            means = torch.randn(2, 4, channels, generator=generator).to(target.device)
            # In the midst of a batch: its rows are of the second group and of those after it.
            part, exact = Part(y, 7, 4), Part(y.double(), 7, 4)
            out, wanted = (empty_activations(each, rows, channels, frames // pool) for each in (y, y.double()))
            pool_rows(part, affine, pool, out)
            pooled(exact, affine.double(), pool, wanted)
            errors = {"forward": (_apart(out, wanted), FORWARD[dtype])}
            pairs = zip(
                sum_rows(part, affine, g, pool),
                gradient_sums(exact, affine.double(), g.double(), pool),
                strict=True,
            )
            errors["sums"] = (max(_apart(here, there) for here, there in pairs), SUMS)
            dy = spread_rows(part, affine, means, g, pool)
            exact_dy = gradient(exact, affine.double(), means.double(), g.double(), pool)
            errors["gradient"] = (_apart(dy, exact_dy), BACKWARD[dtype])
            for name, (found, limit) in errors.items():
                where = f"{name}: {rows} rows, {channels} channels, pooling {pool}, {dtype}"
                worst[name] = max(worst.get(name, 0.0), at_most(where, found, limit))
    return {"relative_difference": worst}
