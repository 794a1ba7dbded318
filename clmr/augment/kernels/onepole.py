"""First-order filters in one kernel: each sample is read and written once, and the recursion stays in float64.

``y[n] = direct x[n] + delayed w[n - 1]`` with ``w[n] = x[n] + pole w[n - 1]``.

A program per row would leave most of a GPU idle: an H100 has 132 multiprocessors with room for 4 programs each, 528
at a time, and a chain hands over 32 to 256 rows. So a row is cut into segments of 4,096 samples, 15 of a view of
59,049, a program each: 480 programs of 32 rows, 3,840 of 256. A segment needs what went before it only as far back as
the pole remembers, so it starts ``warm-up`` samples early, from rest: as many as make ``|pole|^n`` fall below the
rounding of float64. That is 1,024 samples or fewer, a quarter more to read, for cutoffs above 126 Hz at a rate of
22,050; a pole nearer to 1 has its row start at the first sample in every segment, which is right and slower. Passing a
state from segment to segment instead would read every sample twice or make programs wait for each other.

What it costs (see :func:`work`), for a view of 59,049 samples: 4 bytes read and 4 written per sample, 0.47 MB, 0.14 us
of an H100's memory. As compiled, a thread's 8 samples take 155 instructions of float64 and about 550 others: with a
quarter for the warm-up 0.09 us of an H100's float64 units, and 0.2 us of its instruction issue. So it is bound by
memory and issue nearly alike, and there float64 costs little; on GPUs with few float64 units it decides.

The segments are the same for every batch: a row's result does not depend on the others.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from clmr.augment.kernels.bound import Work
from clmr.augment.send import send

BLOCK = 1024  # samples of one scan: 8 per thread, in two runs of 4
BLOCKS = 4  # of a segment
WARPS = 4
FORGOTTEN = 2.0**-53  # of a state, relative: what float64 rounds away

_FLOAT64 = 155 / 8  # instructions per sample, as compiled for an H100


def work(rows: int, frames: int) -> Work:
    """What :func:`first_order` has to do at least for ``rows`` rows of ``frames`` samples, the warm-up left out."""
    return Work(memory=rows * frames * 8.0, float64=rows * frames * 2 * _FLOAT64)


@triton.jit
def _then(
    pole_before: tl.tensor, state_before: tl.tensor, pole: tl.tensor, state: tl.tensor
) -> tl.tuple:  # fmt: skip
    """Two stretches of samples as one: the pole to the power of their length, and the state they leave from rest."""
    return pole_before * pole, pole * state_before + state


@triton.jit(do_not_specialize=["frames"])
def first_order_kernel(
    audio: tl.tensor, out: tl.tensor, numbers: tl.tensor, warm_up: tl.tensor,
    frames: tl.tensor, stride: tl.tensor, block: tl.constexpr, blocks: tl.constexpr,
) -> None:  # fmt: skip
    """One segment, ``blocks`` scans of ``block`` samples, of one row, and the scans before it that it remembers."""
    row = tl.program_id(0).to(tl.int64)
    segment = tl.program_id(1) * blocks
    audio += row * stride
    out += row * frames
    pole, direct, delayed = tl.load(numbers + 3 * row), tl.load(numbers + 3 * row + 1), tl.load(numbers + 3 * row + 2)
    step = tl.arange(0, block)
    poles = tl.zeros((block,), tl.float64) + pole
    # w just before the block's first sample, less that sample's predecessor: what pole multiplies next.
    state = pole * 0
    end = tl.minimum(segment + blocks, tl.cdiv(frames, block))
    number = tl.maximum(segment - tl.load(warm_up + row), 0)
    while number < end:
        n = number * block + step
        # w[n - 1] of the block's samples is the scan of x[n - 1], with the state that the block before left.
        before = tl.load(audio + n - 1, (n > 0) & (n <= frames), 0.0).to(tl.float64)
        power, own = tl.associative_scan((poles, before), 0, _then)
        w_before = own + power * state
        if number >= segment:
            x = tl.load(audio + n, n < frames, 0.0).to(tl.float64)
            tl.store(out + n, (direct * x + delayed * w_before).to(tl.float32), n < frames)
        state = tl.sum(tl.where(step == block - 1, w_before, 0.0))
        number += 1


def first_order(audio: Tensor, pole: Tensor, direct: Tensor, delayed: Tensor) -> Tensor:
    """``y[n] = direct x[n] + delayed w[n - 1]``, ``w[n] = x[n] + pole w[n - 1]``, each row from rest.

    Args:
        audio: float32, shape ``[N, 1, T]``.
        pole: float64, shape ``[N]``, |pole| <= 1; like the next two best on the host.
        direct: float64, shape ``[N]``.
        delayed: float64, shape ``[N]``.

    Returns:
        float32, shape ``[N, 1, T]``.
    """
    rows, _, frames = audio.shape
    if audio.stride(2) != 1:
        audio = audio.contiguous()
    # Blocks of warm-up: |pole|^(block blocks) <= FORGOTTEN, and never more than there are. log 0 = -inf gives 0 blocks.
    longest = triton.cdiv(frames, BLOCK)
    remembered = math.log(FORGOTTEN) / torch.log(pole.abs().clamp(max=1 - 2.0**-53)) / BLOCK
    warm_up = remembered.ceil().clamp(max=longest).int()
    numbers = torch.stack([pole, direct, delayed], dim=1)
    out = audio.new_empty(rows, 1, frames)
    # A launch takes the current device's stream, whatever the device of its tensors.
    with torch.cuda.device_of(audio):
        first_order_kernel[rows, triton.cdiv(longest, BLOCKS)](
            audio,
            out,
            send(numbers, audio.device),
            send(warm_up, audio.device),
            frames,
            audio.stride(0),
            block=BLOCK,
            blocks=BLOCKS,
            num_warps=WARPS,
        )
    return out
