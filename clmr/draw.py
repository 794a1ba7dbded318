"""One counter-based generator: every random choice is a pure function of (seed, epoch, track, view, stream).

A *key* is a 64-bit integer made from (seed, epoch, track, view); a *stream* is the name of the choice, such as
``"crop"`` or ``"gain.db"``. Nothing depends on batch shape, rank, device, worker or time, so a row drawn in a batch of
96 equals the same row drawn alone, and resuming needs no generator state.

The bit mixer is the finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014, with D. Stafford's constants). Keys travel as int64, torch's widest integer that multiplies.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: multiples of it visit every 64-bit value
MULTIPLY_1 = 0xBF58476D1CE4E5B9
MULTIPLY_2 = 0x94D049BB133111EB

Keys = npt.NDArray[np.int64]


def _signed(value: int) -> int:
    """The int64 with the same 64 bits as ``value``."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


@cache
def stream_number(stream: str) -> int:
    """The 64 bits, as an unsigned integer, that stand for the choice named ``stream``."""
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")


# --- NumPy: keys and crop positions, on the host --------------------------------------------------------------


def mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit integers by a bijection whose every output bit depends on every input bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(MULTIPLY_1)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(MULTIPLY_2)
    mixed: npt.NDArray[np.uint64] = bits ^ (bits >> np.uint64(31))
    return mixed


def make_keys(seed: int, epoch: npt.ArrayLike, tracks: npt.ArrayLike, views: Sequence[int] = (0, 1)) -> Keys:
    """The draw keys of some tracks' views in one epoch.

    Args:
        seed: the run's seed, any integer (its low 64 bits count).
        epoch: epoch number, >= 0; one for all tracks, or shape ``[N]``.
        tracks: track numbers, int, shape ``[N]``.
        views: the view numbers wanted, shape ``[V]``.

    Returns:
        Keys, int64, shape ``[N, V]``.
    """
    words = (
        np.full((1, 1), seed & (2**64 - 1), dtype=np.uint64),
        np.atleast_1d(np.asarray(epoch, dtype=np.uint64))[:, None],
        np.asarray(tracks, dtype=np.int64).astype(np.uint64)[:, None],
        np.asarray(views, dtype=np.int64).astype(np.uint64)[None, :],
    )
    state = np.zeros((1, 1), dtype=np.uint64)
    # Absorb one word after the other: state <- mix(state xor mix(word + k * GOLDEN)). The position k keeps
    # (epoch 1, track 2) apart from (epoch 2, track 1).
    for position, word in enumerate(words, start=1):
        state = mix(state ^ mix(word + np.uint64(position * GOLDEN & (2**64 - 1))))
    keys: Keys = np.ascontiguousarray(state).view(np.int64)
    return keys


def uniform_numpy(keys: Keys, stream: str) -> npt.NDArray[np.float64]:
    """One float64 in [0, 1) with 53 random bits for each key, in the shape of ``keys``."""
    bits = mix(keys.view(np.uint64) ^ np.uint64(stream_number(stream)))
    unit: npt.NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return unit


# --- torch: augmentation parameters and noise, on any device --------------------------------------------------


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Logical shift: torch's ``>>`` on int64 drags the sign along, the mask takes it off."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def mix_torch(bits: Tensor) -> Tensor:
    """:func:`mix` for int64 tensors: the same 64 bits out for the same 64 bits in."""
    bits = bits ^ _shift_right(bits, 30)  # a new tensor: the rest may work in place
    bits *= _signed(MULTIPLY_1)
    bits ^= _shift_right(bits, 27)
    bits *= _signed(MULTIPLY_2)
    bits ^= _shift_right(bits, 31)
    return bits


def uniform(keys: Tensor, stream: str) -> Tensor:
    """One float64 in [0, 1) for each key: equals :func:`uniform_numpy` to the bit.

    Args:
        keys: int64, any shape.
        stream: the name of the choice.

    Returns:
        float64 tensor in the shape and on the device of ``keys``.
    """
    bits = mix_torch(keys ^ _signed(stream_number(stream)))
    return _shift_right(bits, 11).to(torch.float64) * 2.0**-53


def normal(keys: Tensor, stream: str, length: int) -> Tensor:
    """Independent standard normal samples, ``length`` for each key.

    Args:
        keys: int64, shape ``[N]``.
        stream: the name of the choice.
        length: samples per key, >= 1.

    Returns:
        float32, shape ``[N, length]``, within +-6.7.
    """
    half = (length + 1) // 2
    # SplitMix64 proper: the i-th word is mix(state + i * GOLDEN).
    state = mix_torch(keys ^ _signed(stream_number(stream)))[:, None]
    counter = torch.arange(1, half + 1, device=keys.device, dtype=torch.int64) * _signed(GOLDEN)
    samples = torch.empty((len(keys), 2 * half), device=keys.device, dtype=torch.float32)
    # On the CPU a row at a time: its words then stay in the cache.
    rows = 1 if keys.device.type == "cpu" else max(1, len(keys))
    for row, z in zip(state.split(rows), samples.split(rows), strict=True):
        bits = mix_torch(row + counter)
        # Box-Muller on two 32-bit uniforms, u in (0, 1] and v in [-1/2, 1/2):
        # z = sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v). float32 is finest where u is small, that is in the tails.
        u = _shift_right(bits, 32).to(torch.float32).add_(1).mul_(2.0**-32)
        radius = u.log_().mul_(-2).sqrt_()
        angle = bits.to(torch.int32).to(torch.float32).mul_(2 * math.pi * 2.0**-32)
        torch.mul(radius, angle.cos(), out=z[:, :half])
        torch.mul(radius, angle.sin(), out=z[:, half:])
    return samples[:, :length]
