"""Batch normalisation, max-pooling and ReLU in one read of y, and the two passes of their gradient.

The forms of ``clmr.pooling``, which states what is computed, for float32 and bfloat16 on a GPU. A program takes some
windows of one row, of 128 channels or fewer: neighbouring threads have neighbouring channels. What a window's largest
value is, each pass finds anew: nothing of the forward pass is kept but y.

What it costs in bytes of the device's memory, for a convolution's output of n bytes pooled by p: forward n (1 + 1/p),
first backward pass n (1 + 1/p), second n (2 + 1/p). Arithmetic, 5 operations a value or fewer, hides behind that.

The first backward pass sums in an order that depends on the shape alone: the same values give the same sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from clmr.pooling import Part

LANES = 1024  # windows times channels of a program at a time
WIDEST = 128  # channels of a program
PIECES = 1024  # of the sums, at most: 7 programs for each multiprocessor of an H100
SHORTEST = 8  # turns of a piece of the sums, where there are that many
WARPS = 4


@triton.jit
def _centred(
    y: tl.tensor, window: tl.tensor, channel: tl.tensor, place: tl.constexpr, mean: tl.tensor, frames: tl.tensor,
    channels: tl.constexpr, pool: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Values less the mean at one place of some windows of a row."""
    frame = window * pool + place
    mask = (frame < frames)[:, None] & (channel < channels)[None, :]
    return tl.load(y + frame[:, None] * channels + channel[None, :], mask, 0.0).to(tl.float32) - mean[None, :]


@triton.jit(do_not_specialize=["first", "rows_per_group", "groups", "frames", "tiles"])
def pool_kernel(
    y: tl.tensor, affine: tl.tensor, out: tl.tensor, first: tl.tensor, rows_per_group: tl.tensor, groups: tl.tensor,
    frames: tl.tensor, tiles: tl.tensor,
    channels: tl.constexpr, pool: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """Layer output of ``lanes`` windows of one row."""
    row = (tl.program_id(0) // tiles).to(tl.int64)
    window = (tl.program_id(0) % tiles) * lanes + tl.arange(0, lanes)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    there = channel < channels
    numbers = affine + (first + row) // rows_per_group * channels + channel
    mean = tl.load(numbers, there, 0.0)
    scale = tl.load(numbers + groups * channels, there, 0.0)[None, :]
    beta = tl.load(numbers + 2 * groups * channels, there, 0.0)[None, :]
    y += row * frames * channels
    largest = tl.fma(_centred(y, window, channel, 0, mean, frames, channels, pool), scale, beta)
    for place in tl.static_range(1, pool):
        h = tl.fma(_centred(y, window, channel, place, mean, frames, channels, pool), scale, beta)
        largest = tl.where(h > largest, h, largest)
    windows = frames // pool
    place_out = out + row * windows * channels + window[:, None] * channels + channel[None, :]
    # NaN is not <= 0 and stays.
    x = tl.where(largest <= 0, 0.0, largest)
    tl.store(place_out, x.to(out.dtype.element_ty), (window < windows)[:, None] & there[None, :])


@triton.jit(do_not_specialize=["group", "groups", "frames", "tiles", "turns", "per_piece"])
def sums_kernel(
    y: tl.tensor, affine: tl.tensor, g: tl.tensor, out: tl.tensor, group: tl.tensor, groups: tl.tensor,
    frames: tl.tensor, tiles: tl.tensor, turns: tl.tensor, per_piece: tl.tensor,
    channels: tl.constexpr, pool: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """Sums of dL/dh and of dL/dh c over one piece of a group's tiles: ``[2, channels]`` of out ``[P, 2, channels]``."""
    piece = tl.program_id(0)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    there = channel < channels
    numbers = affine + group * channels + channel
    mean = tl.load(numbers, there, 0.0)
    scale = tl.load(numbers + groups * channels, there, 0.0)[None, :]
    beta = tl.load(numbers + 2 * groups * channels, there, 0.0)[None, :]
    windows = frames // pool
    sum_g = tl.zeros([lanes, block], tl.float32)
    sum_gc = tl.zeros([lanes, block], tl.float32)
    turn = piece * per_piece
    end = tl.minimum(turn + per_piece, turns)
    while turn < end:
        row = (turn // tiles).to(tl.int64)
        window = (turn % tiles) * lanes + tl.arange(0, lanes)
        here = y + row * frames * channels
        c_largest = _centred(here, window, channel, 0, mean, frames, channels, pool)
        largest = tl.fma(c_largest, scale, beta)
        for place in tl.static_range(1, pool):
            c = _centred(here, window, channel, place, mean, frames, channels, pool)
            h = tl.fma(c, scale, beta)
            c_largest = tl.where(h > largest, c, c_largest)
            largest = tl.where(h > largest, h, largest)
        mask = (window < windows)[:, None] & there[None, :]
        place_g = g + row * windows * channels + window[:, None] * channels + channel[None, :]
        passed = tl.where(largest <= 0, 0.0, tl.load(place_g, mask, 0.0).to(tl.float32))
        sum_g += passed
        sum_gc += passed * c_largest
        turn += 1
    out += piece.to(tl.int64) * 2 * channels + channel
    tl.store(out, tl.sum(sum_g, 0), there)
    tl.store(out + channels, tl.sum(sum_gc, 0), there)


@triton.jit(do_not_specialize=["first", "rows_per_group", "groups", "frames", "tiles"])
def spread_kernel(
    y: tl.tensor, affine: tl.tensor, means: tl.tensor, g: tl.tensor, out: tl.tensor,
    first: tl.tensor, rows_per_group: tl.tensor, groups: tl.tensor, frames: tl.tensor, tiles: tl.tensor,
    channels: tl.constexpr, pool: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """dL/dy of ``lanes`` windows of one row, of which the last may be the frames that fill none."""
    row = (tl.program_id(0) // tiles).to(tl.int64)
    window = (tl.program_id(0) % tiles) * lanes + tl.arange(0, lanes)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    there = channel < channels
    number = (first + row) // rows_per_group * channels + channel
    mean = tl.load(affine + number, there, 0.0)
    scale = tl.load(affine + groups * channels + number, there, 0.0)[None, :]
    beta = tl.load(affine + 2 * groups * channels + number, there, 0.0)[None, :]
    mean_g = tl.load(means + number, there, 0.0)[None, :]
    mean_gc = tl.load(means + groups * channels + number, there, 0.0)[None, :]
    y += row * frames * channels
    out += row * frames * channels
    largest = tl.fma(_centred(y, window, channel, 0, mean, frames, channels, pool), scale, beta)
    chosen = tl.zeros([lanes, block], tl.int32)
    for place in tl.static_range(1, pool):
        h = tl.fma(_centred(y, window, channel, place, mean, frames, channels, pool), scale, beta)
        chosen = tl.where(h > largest, place, chosen)
        largest = tl.where(h > largest, h, largest)
    windows = frames // pool
    place_g = g + row * windows * channels + window[:, None] * channels + channel[None, :]
    passed = tl.load(place_g, (window < windows)[:, None] & there[None, :], 0.0).to(tl.float32)
    passed = tl.where(largest <= 0, 0.0, passed)
    for place in tl.static_range(pool):
        c = _centred(y, window, channel, place, mean, frames, channels, pool)  # near by, from a moment ago
        dy = scale * (tl.where(chosen == place, passed, 0.0) - mean_g - c * mean_gc)
        frame = window * pool + place
        mask = (frame < frames)[:, None] & there[None, :]
        tl.store(out + frame[:, None] * channels + channel[None, :], dy.to(out.dtype.element_ty), mask)


def _tile(windows: int, channels: int) -> dict[str, int]:
    """Channels and windows of a program."""
    block = min(WIDEST, triton.next_power_of_2(channels))
    return {"block": block, "lanes": min(LANES // block, triton.next_power_of_2(windows))}


def pool_rows(part: Part, affine: Tensor, pool: int, out: Tensor) -> None:
    """As ``clmr.pooling.pooled``."""
    rows, channels, _, frames = part.y.shape
    tile = _tile(frames // pool, channels)
    tiles = triton.cdiv(frames // pool, tile["lanes"])
    with torch.cuda.device_of(part.y):
        pool_kernel[rows * tiles, triton.cdiv(channels, tile["block"])](
            part.y, affine, out, part.first, part.rows_per_group, affine.shape[1], frames, tiles,
            channels=channels, pool=pool, **tile, num_warps=WARPS,
        )  # fmt: skip


def sum_rows(part: Part, affine: Tensor, g: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """As ``clmr.pooling.gradient_sums``."""
    _, channels, _, frames = part.y.shape
    tile = _tile(frames // pool, channels)
    tiles = triton.cdiv(frames // pool, tile["lanes"])
    sums = torch.zeros(2, *affine.shape[1:], dtype=torch.float64, device=g.device)
    for group, rows in part.groups():
        turns = (rows.stop - rows.start) * tiles
        per_piece = max(triton.cdiv(turns, PIECES), min(SHORTEST, turns))
        pieces = triton.cdiv(turns, per_piece)
        found = torch.empty(pieces, 2, channels, device=g.device)
        with torch.cuda.device_of(g):
            sums_kernel[pieces, triton.cdiv(channels, tile["block"])](
                part.y[rows], affine, g[rows], found, group, affine.shape[1], frames, tiles, turns, per_piece,
                channels=channels, pool=pool, **tile, num_warps=WARPS,
            )  # fmt: skip
        sums[:, group] = found.sum(dim=0, dtype=torch.float64)
    return sums[0], sums[1]


def spread_rows(part: Part, affine: Tensor, means: Tensor, g: Tensor, pool: int) -> Tensor:
    """As ``clmr.pooling.gradient``."""
    rows, channels, _, frames = part.y.shape
    tile = _tile(-(-frames // pool), channels)
    tiles = triton.cdiv(-(-frames // pool), tile["lanes"])
    out = torch.empty_like(part.y)
    with torch.cuda.device_of(g):
        spread_kernel[rows * tiles, triton.cdiv(channels, tile["block"])](
            part.y, affine, means, g, out, part.first, part.rows_per_group, affine.shape[1], frames, tiles,
            channels=channels, pool=pool, **tile, num_warps=WARPS,
        )  # fmt: skip
    return out
