"""Mean and variance of every channel in one read.

A program takes some consecutive frames of 128 channels or fewer and keeps, in each of its lanes, the mean and the sum
of squares about it of the values seen (Welford, 1962): sums of squares would cancel in float32. Its lanes, and then on
the host's side in float64 its pieces, are put together as in Chan, Golub and LeVeque (1979), in an order that depends
on the shape alone, so the same values give the same moments.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 2048  # values of a program at a time
WIDEST = 128  # channels of a program
PIECES = 1024  # at most: 7 programs for each multiprocessor of an H100
SHORTEST = 16  # turns of a piece, where there are that many
WARPS = 4


@triton.jit(do_not_specialize=["frames", "per_piece"])
def moments_kernel(
    y: tl.tensor, out: tl.tensor, frames: tl.tensor, per_piece: tl.tensor,
    channels: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """Mean, sum of squares and number of the values of one piece, ``[3, channels]`` of out ``[P, 3, channels]``."""
    piece = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    there = channel < channels
    lane = tl.arange(0, lanes)
    start = piece * per_piece
    end = tl.minimum(start + per_piece, frames)
    mean = tl.zeros([lanes, block], tl.float32)
    squares = tl.zeros([lanes, block], tl.float32)
    frame = start
    seen = 0.0
    while frame < end:
        mask = (frame + lane < end)[:, None] & there[None, :]
        value = tl.load(y + (frame + lane)[:, None] * channels + channel[None, :], mask, 0.0).to(tl.float32)
        seen += 1.0
        # m' = m + (v - m) / n,  q' = q + (v - m) (v - m')
        change = tl.where(mask, value - mean, 0.0)
        step = change * (1.0 / seen)
        mean += step
        squares += change * (change - step)
        frame += lanes
    # A lane has seen every lanes-th frame from its own on.
    number = (tl.maximum(end - start - lane + lanes - 1, 0) // lanes).to(tl.float32)[:, None]
    total = (end - start).to(tl.float32)
    mean_of_all = tl.sum(number * mean, 0) / total
    apart = mean - mean_of_all[None, :]
    out += piece * 3 * channels + channel
    tl.store(out, mean_of_all, there)
    tl.store(out + channels, tl.sum(squares + number * apart * apart, 0), there)
    tl.store(out + 2 * channels, mean_of_all * 0 + total, there)


def piecewise_moments(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number ``[P]``, mean ``[P, C]`` and sum of squares about it ``[P, C]``, float32, of P pieces of the values.

    Args:
        y: float32 or bfloat16, shape ``[n, C, 1, T]``, channels last in memory.
    """
    rows, channels, _, length = y.shape
    frames = rows * length
    block = min(WIDEST, triton.next_power_of_2(channels))
    lanes = LANES // block
    turns = triton.cdiv(frames, lanes)
    per_piece = max(triton.cdiv(turns, PIECES), min(SHORTEST, turns)) * lanes
    pieces = triton.cdiv(frames, per_piece)
    out = torch.empty(pieces, 3, channels, device=y.device)
    with torch.cuda.device_of(y):
        moments_kernel[pieces, triton.cdiv(channels, block)](
            y, out, frames, per_piece, channels=channels, lanes=lanes, block=block, num_warps=WARPS
        )
    return out[:, 2, 0], out[:, 0], out[:, 1]
