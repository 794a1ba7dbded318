"""The search and the cross-fades of ``tempo``.

**Search.** One program per row walks the row's segments, since each match decides what the next is compared with; only
that choice is sequential, all that is compared are pieces of the input. The 324 lags times 264 taps of a segment are
spread over 32 groups of lags times 8 parts of the taps, a pair per thread. A thread keeps the sums of 12 neighbouring
lags in registers, so that 16 samples of the window, read 16 bytes at a time, and 4 of the tail serve 48 differences:
arithmetic is the limit, not the loads.

The sums are of squared differences, in float32: their error is relative to themselves, some 1e-5 at most, where energy
less correlation would have that of the energy. The samples are the whole numbers of
:func:`clmr.augment.tempo.search_offsets`, exact in float32, as are their differences. So a lag that beats every other
by more than the error is the best; sums below 2^24 are exact, those of silence and of equal periods too; and where
neither holds, the segment is searched again in float64, in which every sum is exact. The offsets are those of plain
PyTorch to the bit, on every GPU and in every batch.

What it costs (see :func:`search_work`), for a view of 59,049 samples at 22,050 Hz, five semitones up, 52 segments: 4.4
million differences of 3 operations, 13 MFLOP, 0.2 us of an H100's float32 units; 0.24 MB to read, 0.07 us of its
memory. But a row has one multiprocessor of 132: 4.4 million subtractions and as many multiply-adds, 128 a cycle at 1.7
GHz, take 40 us, and 52 us as 384 lags and 288 taps. Up to 132 rows take as long as one. With several programs to a row
each would wait for the others 52 times.

**Stretch.** One program per row and 1,024 samples of the result: 0.24 MB read and 0.32 MB written, 0.17 us of memory
for that view (see :func:`stretch_work`). The result is written out for the resampling kernel to read. A kernel that did
both would look up segment, offset and fade for each of 130 taps and for both sides of a splice: 15 operations, over 1
us, to save less than 0.2 us of memory, and nothing where the result stays in the second-level cache.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from clmr.augment.kernels.bound import Work
from clmr.augment.send import send
from clmr.augment.tempo import BITS, TempoPlan

GROUPS = 32  # of lags
PARTS = 8  # of the taps
MOST_LAGS = 24  # of a thread; with more, registers run out
UNROLL = 3  # of the turns over the taps, 9 at 22,050 Hz
BLOCK = 1024  # samples per program of the kernels that memory limits
EXACT_BELOW = tl.constexpr(2.0**24)  # sums of whole numbers, in float32
ROUND = tl.constexpr(1.5 * 2.0**52)  # added to a float64, it leaves no room for a fraction


def search_work(plan: TempoPlan) -> Work:
    """What :func:`search_offsets` has to do at least: each difference is taken, squared and added."""
    differences = int((plan.count - 1).clamp(min=0).sum()) * plan.search * plan.overlap
    rows, segments = plan.starts.shape
    return Work(memory=4.0 * rows * plan.frames + 8.0 * rows * segments, float32=3.0 * differences)


def stretch_work(plan: TempoPlan) -> Work:
    """What :func:`stretch` has to do at least: read the audio and write the result."""
    rows, longest = len(plan.lengths), int(plan.lengths.max())
    return Work(memory=4.0 * rows * (plan.frames + longest), float32=5.0 * rows * longest)


@triton.jit(do_not_specialize=["frames", "width"])
def whole_kernel(
    audio: tl.tensor, scale: tl.tensor, out: tl.tensor, frames: tl.tensor, width: tl.tensor,
    front: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """``round(audio scale)`` in float32, with zeros around it."""
    row = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * block + tl.arange(0, block)
    there = (place >= front) & (place < front + frames)
    x = tl.load(audio + row * frames + (place - front), mask=there, other=0.0)
    # In float64, since the scale of a quiet row is beyond float32; halves go to the even number.
    whole = (x.to(tl.float64) * tl.load(scale + row) + ROUND) - ROUND
    tl.store(out + row * width + place, whole.to(tl.float32), mask=place < width)


@triton.jit
def _columns(x: tl.tensor) -> tl.tuple:
    """The four columns of ``[groups, parts, 4]``, which a thread holds together."""
    even, odd = tl.split(tl.reshape(x, [x.shape[0], x.shape[1], 2, 2]))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def _search(
    window: tl.tensor, tail: tl.tensor, shift: tl.tensor, slack: tl.tensor, exact: tl.constexpr, search: tl.constexpr,
    overlap: tl.constexpr, lags: tl.constexpr, groups: tl.constexpr, parts: tl.constexpr, unroll: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """First best lag, its sum, and how many sums are within ``slack`` of it; lag 0 stands ``shift`` into the window."""
    kind: tl.constexpr = tl.float64 if exact else tl.float32
    group = tl.arange(0, groups)[:, None]
    part = tl.arange(0, parts)[None, :]
    four = tl.arange(0, 4)[None, None, :]
    sums = tl.tuple(())
    for _ in tl.static_range(lags):
        sums += (tl.zeros([groups, parts], kind),)
    for turn in range(0, (overlap // 4 + parts - 1) // parts, unroll):
        for again in tl.static_range(unroll):
            tap = 4 * (parts * (turn + again) + part)
            there = tap < overlap  # beyond, zeros are compared with zeros
            samples = tl.tuple(())
            for column in tl.static_range(lags // 4 + 1):
                place = (lags * group + tap + 4 * column)[:, :, None] + four
                samples += _columns(tl.load(window + place, mask=there[:, :, None], other=0.0).to(kind))
            for u in tl.static_range(4):
                other = tl.load(tail + tap + u, mask=there, other=0.0).to(kind)
                more = tl.tuple(())
                for lag in tl.static_range(lags):
                    difference = samples[lag + u] - other
                    more += (sums[lag] + difference * difference,)
                sums = more
    # Four neighbouring lags of all groups at a time.
    index = tl.arange(0, 4 * groups)
    lag = lags * (index // 4) + index % 4 - shift
    totals = tl.tuple(())
    least = tl.full([4 * groups], float("inf"), kind)
    for i in tl.static_range(0, lags, 4):
        joined = tl.join(tl.join(sums[i], sums[i + 2]), tl.join(sums[i + 1], sums[i + 3]))
        total = tl.reshape(tl.sum(joined, axis=1), [4 * groups])
        total = tl.where((lag + i >= 0) & (lag + i < search), total, float("inf"))
        least = tl.minimum(least, total)
        totals += (total,)
    best = tl.min(least, axis=0)
    first = tl.full([4 * groups], search - 1, tl.int32)
    near = tl.zeros([4 * groups], tl.int32)
    for i in tl.static_range(lags // 4):
        first = tl.minimum(first, tl.where(totals[i] == best, lag + 4 * i, search - 1))
        near += (totals[i] <= best * slack).to(tl.int32)
    return tl.min(first, axis=0), best, tl.sum(near, axis=0)


@triton.jit(do_not_specialize=["width", "segments", "step"])
def search_kernel(
    whole: tl.tensor, starts: tl.tensor, count: tl.tensor, offsets: tl.tensor,
    width: tl.tensor, segments: tl.tensor, step: tl.tensor, slack: tl.tensor,
    search: tl.constexpr, overlap: tl.constexpr, lags: tl.constexpr, groups: tl.constexpr, parts: tl.constexpr,
    unroll: tl.constexpr, front: tl.constexpr,
) -> None:  # fmt: skip
    """Match the segments of a row, one after the other."""
    row = tl.program_id(0).to(tl.int64)
    whole += tl.multiple_of(row * width, 16) + front
    starts += row * segments
    offsets += row * segments
    at = tl.load(starts) + search // 2
    tl.store(offsets, search // 2)
    own = tl.load(count + row).to(tl.int32)
    # Loops to a bound that was loaded are written with while: the interpreter makes no range of it.
    segment = 1
    while segment < own:
        start = tl.load(starts + segment)
        shift = (start & 3).to(tl.int32)
        window = whole + tl.multiple_of(start - shift, 4)
        tail = whole + at + step
        lag, best, near = _search(window, tail, shift, slack, False, search, overlap, lags, groups, parts, unroll)
        if (near > 1) & (best >= EXACT_BELOW):
            lag, _best, _near = _search(window, tail, shift, slack, True, search, overlap, lags, groups, parts, 1)
        tl.store(offsets + segment, lag)
        at = start + lag
        segment += 1
    while segment < segments:
        tl.store(offsets + segment, search // 2)
        segment += 1


@triton.jit(do_not_specialize=["frames", "segments", "longest"])
def stretch_kernel(
    audio: tl.tensor, starts: tl.tensor, offsets: tl.tensor, lengths: tl.tensor, out: tl.tensor,
    frames: tl.tensor, segments: tl.tensor, longest: tl.tensor,
    step: tl.constexpr, overlap: tl.constexpr, block: tl.constexpr,
) -> None:  # fmt: skip
    """``block`` samples of a row's result."""
    row = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * block + tl.arange(0, block)
    segment = place // step
    within = place - segment * step
    starts += row * segments + segment
    offsets += row * segments + segment
    audio += row * frames
    there = place < tl.load(lengths + row)
    at = tl.load(starts, mask=there, other=0) + tl.load(offsets, mask=there, other=0) + within
    here = tl.load(audio + at, mask=there & (at >= 0) & (at < frames), other=0.0)
    # While a segment begins, the one before goes on.
    fades = there & (segment > 0) & (within < overlap)
    at = tl.load(starts - 1, mask=fades, other=0) + tl.load(offsets - 1, mask=fades, other=0) + step + within
    before = tl.load(audio + at, mask=fades & (at >= 0) & (at < frames), other=0.0)
    fade = tl.div_rn(within.to(tl.float32), 1.0 * overlap)
    y = tl.where(fades, before + fade * (here - before), here)
    tl.store(out + row * longest + place, y, mask=place < longest)


def search_offsets(audio: Tensor, plan: TempoPlan) -> Tensor:
    """What :func:`clmr.augment.tempo.search_offsets` returns, of float32."""
    rows, frames = audio.shape
    segments = plan.starts.shape[1]
    groups = GROUPS
    while (lags := 4 * triton.cdiv(plan.search + 3, 4 * groups)) > MOST_LAGS:
        groups *= 2
    turns = triton.cdiv(plan.overlap, 4 * PARTS)
    # Zeros for all that may be read: half a search window before the row and up to three samples more, since windows
    # are read from multiples of 16 bytes on; of a window up to its last lag, of a tail up to the end of a segment.
    front = triton.cdiv(plan.search // 2 + 3, 16) * 16
    width = triton.cdiv(front + frames + groups * lags + plan.search + plan.segment, 16) * 16
    peak = torch.maximum(audio.amax(dim=1), -audio.amin(dim=1)).double()
    mantissa, _ = torch.frexp(peak)  # peak = mantissa 2^e, mantissa in [0.5, 1): the scale is 2^(BITS - e)
    scale = torch.where(peak > 0, mantissa / peak * 2.0**BITS, 1.0).clamp(max=1e300)
    whole = audio.new_empty(rows, width)
    offsets = torch.empty(rows, segments, dtype=torch.int64, device=audio.device)
    with torch.cuda.device_of(audio):  # a launch takes the current device's stream
        whole_kernel[triton.cdiv(width, BLOCK), rows](audio.contiguous(), scale, whole, frames, width, front, BLOCK)
        search_kernel[rows,](
            whole,
            send(plan.starts, audio.device),
            send(plan.count, audio.device),
            offsets,
            width,
            segments,
            plan.step,
            _slack(turns),
            plan.search,
            plan.overlap,
            lags,
            groups,
            PARTS,
            UNROLL,
            front,
            num_warps=groups * PARTS // 32,
        )
    return offsets


def _slack(turns: int) -> float:
    """Above this times the least sum, a float32 sum cannot be the least."""
    # A sum is rounded 4 turns + 4 times by 2^-24 of itself, two sums differ by twice that; and as much to spare.
    return 1 + 16 * (turns + 1) * 2.0**-24


def stretch(audio: Tensor, plan: TempoPlan, offsets: Tensor) -> Tensor:
    """What :func:`clmr.augment.tempo.stretch` returns, of float32."""
    rows, frames = audio.shape
    longest = int(plan.lengths.max())
    out = audio.new_empty(rows, longest)
    with torch.cuda.device_of(audio):
        stretch_kernel[triton.cdiv(longest, BLOCK), rows](
            audio.contiguous(),
            send(plan.starts, audio.device),
            offsets,
            send(plan.lengths, audio.device),
            out,
            frames,
            plan.starts.shape[1],
            longest,
            plan.step,
            plan.overlap,
            BLOCK,
        )
    return out
