"""Windowed-sinc resampling with a ratio per row, its weights made where they are used.

Output n of a row stands at its input's n p / q, so outputs n, n + q, n + 2 q, ... share their weights. A thread takes
one residue of n modulo q in 16 periods, makes one weight after the other and gives it to the 16 sums, whose reads stand
p inputs apart. Positions are whole numbers over a whole number; the remainder is rounded once, to float32. The sine of
a tap and the cosine of the window come by addition theorems from those of the tap's whole part, which the host puts in
a table per row in float64, and of the remainder.

What it costs (see :func:`resample_work`), for a view of 59,049 samples, five semitones up: 130 taps of a multiply-add,
15 MFLOP, 0.23 us of an H100's float32 units; 0.32 MB read and 0.24 MB written, 0.17 us of its memory. So arithmetic is
the bound, but not the limit here: each multiply-add has a load of its own, 32 a cycle and multiprocessor, 1.1 us; and
sixteen of them share the 37 instructions of their weight, so that an H100 issues five instructions for one, 1.3 us.
Products of matrices would load and issue less, but the tensor cores round float32 to eleven bits, or take three
products for one. A table of all weights of a row, 0.2 to 20 MB of them, would not stay near.

The sum of an output runs over the taps of its row in their order: it does not depend on the rest of the batch.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from clmr.augment.kernels.bound import Work
from clmr.augment.resample import HALF, ROLLOFF, WINDOW
from clmr.augment.send import send

LANES = 128  # residues per program, one per thread
PERIODS = 16  # per program; more of them leave a multiprocessor too few programs
UNROLL = 4  # taps of a turn of the loop
EXPANDED = 512  # fractions are expanded to a q near this, so that the threads have residues to work on
LIMIT = tl.constexpr(1 << 30)  # further than any read of a program


def resample_work(p: Tensor, q: Tensor, length: int, frames: int) -> Work:
    """What :func:`resample` has to do at least: a multiply-add per tap; read ``length``, write ``frames`` a row."""
    return Work(memory=4.0 * len(p) * (length + frames), float32=2.0 * frames * int(_taps(p, q).sum()))


def _taps(p: Tensor, q: Tensor) -> Tensor:
    """Inputs within the reach of an output of each row: 2 ceil(HALF max(1, p / q))."""
    return 2 * (-(-HALF * p // q)).clamp(min=HALF)


@triton.jit
def _sums(
    audio: tl.tensor, place: tl.tensor, missing: tl.tensor, beyond: tl.tensor, part: tl.tensor, taps: tl.tensor,
    tables: tl.tensor, numbers: tl.tensor,
    within: tl.constexpr, unroll: tl.constexpr, lanes: tl.constexpr, periods: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """``sum_i x[place + i] h(i - taps / 2 + 1 - part)``; samples are there from ``missing`` to below ``beyond``."""
    turn = tl.load(numbers)  # pi c
    window_turn = tl.load(numbers + 1)  # pi / L
    reach = tl.load(numbers + 2)  # L
    # Of the window as a polynomial in cos(pi t / L), over pi.
    b0, b1, b2, b3 = tl.load(numbers + 3), tl.load(numbers + 4), tl.load(numbers + 5), tl.load(numbers + 6)
    cos, sin = tl.cos(turn * part), tl.sin(turn * part)
    window_cos, window_sin = tl.cos(window_turn * part), tl.sin(window_turn * part)
    # sin(pi c t) / t at j = 1, where the difference below cancels as t goes to 0; at j = 0 it is of one term.
    rest = tl.maximum(1 - part, 1e-30)
    second = tl.sin(turn * rest) / rest
    total = tl.zeros([lanes, periods], tl.float32)
    before = taps // 2 - 1
    tap = 0
    # Loops over a loaded bound are written with while: the interpreter makes no range of it.
    while tap < taps:
        here = audio + place
        for again in tl.static_range(unroll):
            i = tap + again
            j = i - before
            t = j.to(tl.float32) - part
            ratio = (tl.load(tables + 4 * i) * cos - tl.load(tables + 4 * i + 1) * sin) / t
            ratio = tl.where(j == 1, second, ratio)
            u = tl.load(tables + 4 * i + 2) * window_cos + tl.load(tables + 4 * i + 3) * window_sin
            weight = tl.where(tl.abs(t) < reach, ratio * (b0 + u * (b1 + u * (b2 + u * b3))), 0.0)
            if within:
                x = tl.load(here + again)
            else:
                x = tl.load(here + again, mask=(place >= missing - i) & (place < beyond - i), other=0.0)
            total += weight[:, None] * x
        tap += unroll
        audio += unroll
    return total


@triton.jit(do_not_specialize=["length", "frames", "most_taps"])
def resample_kernel(
    audio: tl.tensor, out: tl.tensor, tiles: tl.tensor, ratios: tl.tensor, tables: tl.tensor, numbers: tl.tensor,
    length: tl.tensor, frames: tl.tensor, most_taps: tl.tensor,
    unroll: tl.constexpr, lanes: tl.constexpr, periods: tl.constexpr,
) -> None:  # fmt: skip
    """Outputs of one row at ``lanes`` neighbouring residues, in ``periods`` periods."""
    tiles += 3 * tl.program_id(0)
    row, first, period = tl.load(tiles), tl.load(tiles + 1), tl.load(tiles + 2)
    p, q, taps = tl.load(ratios + 3 * row), tl.load(ratios + 3 * row + 1), tl.load(ratios + 3 * row + 2).to(tl.int32)
    residue = first + tl.arange(0, lanes)
    whole = residue * p // q
    # Never 0, for the sake of sin(t) / t.
    part = tl.maximum(tl.div_rn((residue * p - whole * q).to(tl.float32), q.to(tl.float32)), 1e-30)
    # Places are counted from the first read of the program, so that they fit 32 bits however long the row is.
    start = period * p + first * p // q - (taps // 2 - 1)
    missing = tl.minimum(tl.maximum(-start, 0), LIMIT).to(tl.int32)
    beyond = tl.minimum(tl.maximum(length - start, 0), LIMIT).to(tl.int32)
    # Triton deals the first axis to the threads of a warp where it knows of no axis that lies together in memory.
    place = (whole - first * p // q).to(tl.int32)[:, None] + tl.arange(0, periods)[None, :] * p.to(tl.int32)
    end = (periods - 1) * p + ((first + lanes - 1) * p // q - first * p // q) + taps
    audio += row * length + start
    tables += row * 4 * most_taps
    numbers += row * 7
    if (missing == 0) & (end <= beyond):
        total = _sums(audio, place, missing, beyond, part, taps, tables, numbers, True, unroll, lanes, periods)
    else:
        total = _sums(audio, place, missing, beyond, part, taps, tables, numbers, False, unroll, lanes, periods)
    n = residue[:, None] + (period + tl.arange(0, periods))[None, :] * q
    tl.store(out + row * frames + n, total, mask=(residue < q)[:, None] & (n < frames))


def resample(audio: Tensor, p: Tensor, q: Tensor, frames: int) -> Tensor:
    """What :func:`clmr.augment.resample.resample` returns, for float32."""
    audio = audio.contiguous()
    device = audio.device
    out = audio.new_empty(len(audio), frames)
    taps = -(-_taps(p, q) // UNROLL) * UNROLL
    most_taps = int(taps.max())
    tables, numbers = _tables(p / q, taps, most_taps)
    expand = (EXPANDED // q).clamp(min=1)
    p, q = p * expand, q * expand
    tiles = _tiles(q, frames)
    with torch.cuda.device_of(audio):  # a launch takes the current device's stream
        resample_kernel[len(tiles),](
            audio,
            out,
            send(tiles, device),
            send(torch.stack([p, q, taps], dim=1), device),
            send(tables, device),
            send(numbers, device),
            audio.shape[1],
            frames,
            most_taps,
            UNROLL,
            LANES,
            PERIODS,
            num_warps=LANES // 32,
        )
    return out


def _tiles(q: Tensor, frames: int) -> Tensor:
    """Row, first residue and first period of each program, int64 ``[programs, 3]``."""
    blocks = -(-q.clamp(max=frames) // LANES)
    chunks = -(-frames // (q * PERIODS))
    programs = blocks * chunks
    row = torch.arange(len(q), device="cpu").repeat_interleave(programs)
    number = torch.arange(len(row), device="cpu") - (programs.cumsum(0) - programs)[row]
    return torch.stack([row, number % blocks[row] * LANES, number // blocks[row] * PERIODS], dim=1)


def _tables(ratio: Tensor, taps: Tensor, most_taps: int) -> tuple[Tensor, Tensor]:
    """What the weights of each row are made of, computed in float64.

    Returns:
        Sine and cosine of pi c j, cosine and sine of pi j / L of each tap, float32 ``[N, most_taps, 4]``; and pi c,
        pi / L, L and the four coefficients of the window, float32 ``[N, 7]``.
    """
    turn = math.pi * ROLLOFF * (1 / ratio).clamp(max=1)
    reach = HALF * ratio.clamp(min=1)
    j = torch.arange(most_taps, device="cpu") + 1 - taps[:, None] // 2
    angle, window_angle = j * turn[:, None], j * (math.pi / reach)[:, None]
    tables = torch.stack([angle.sin(), angle.cos(), window_angle.cos(), window_angle.sin()], dim=2)
    # sum_k a_k cos(k u) as a polynomial in cos u
    a0, a1, a2, a3 = WINDOW
    window = torch.tensor([a0 - a2, a1 - 3 * a3, 2 * a2, 4 * a3], dtype=torch.float64, device="cpu") / math.pi
    numbers = torch.cat([torch.stack([turn, math.pi / reach, reach], dim=1), window.expand(len(ratio), 4)], dim=1)
    return tables.float(), numbers.float()
