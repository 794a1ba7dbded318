"""A shuffle that is computed, not stored: where each of ``n`` things goes follows from a key by arithmetic.

A balanced Feistel network with cycle walking (J. Black, P. Rogaway: Ciphers with Arbitrary Finite Domains, CT-RSA 2002;
here with sums modulo the side in place of exclusive or). It shuffles the cells of a square of at least ``n`` cells; a
position that lands outside ``0 .. n - 1`` is shuffled again until it lands inside, which keeps the map one to one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clmr.draw import GOLDEN, make_keys, mix, stream_number

Integers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]

# The fewest rounds after which all permutations of 2 to 6 things, the places of single things and the places of pairs
# cannot be told from truly random ones in 20,000 keys or more: 6 rounds fail this for the pairs of 16.
ROUNDS = 8


def hash_bits(seed: int, epoch: int, numbers: npt.ArrayLike, stream: str) -> npt.NDArray[np.uint64]:
    """64 random bits per number, shape ``[N]``. A bijection of the number: different numbers never tie."""
    keys = make_keys(seed, epoch, numbers, views=(0,))[:, 0]
    return mix(keys.view(np.uint64) ^ np.uint64(stream_number(stream)))


def draw_below(limit: int, seed: int, epoch: int, stream: str) -> int:
    """One random integer in ``0 .. limit - 1`` for each (seed, epoch, stream)."""
    return int(hash_bits(seed, epoch, [0], stream)[0]) * limit >> 64


def permute(positions: npt.ArrayLike, size: npt.ArrayLike, key: npt.ArrayLike) -> Integers:
    """Where a random permutation of ``0 .. size - 1`` sends some positions.

    Different positions under the same size and key never meet; what one position becomes does not depend on the others
    asked for. Time and memory are those of a few dozen operations on arrays of the shape of ``positions``.

    Args:
        positions: each in ``0 .. size - 1``, any shape.
        size: things permuted, 1 .. 2^62; one number, or one for each position.
        key: 64 random bits that choose the permutation; one number, or one for each position.

    Returns:
        Numbers in ``0 .. size - 1``, int64, in the shape of ``positions``.
    """
    shape = np.shape(positions)
    sizes, keys = (_single_or_each(numbers, shape) for numbers in (size, key))
    # An even side: turning a row by one is then an odd permutation, and without those half of all are out of reach.
    sides = 2 * np.ceil(np.sqrt(sizes) / 2).astype(np.uint64)
    images = _shuffle_square(np.asarray(positions).astype(np.uint64).reshape(-1), sides, keys)
    outside = np.flatnonzero(images >= sizes)
    while len(outside):
        walking = _shuffle_square(images[outside], _of(sides, outside), _of(keys, outside))
        images[outside] = walking
        outside = outside[walking >= _of(sizes, outside)]
    return images.astype(np.int64).reshape(shape)


def _shuffle_square(cells: Bits, side: Bits, key: Bits) -> Bits:
    """Permute the cells ``0 .. side^2 - 1`` of squares."""
    left, right = np.divmod(cells, side)
    for number in range(ROUNDS):
        # left <- (left + F(right)) mod side, then the halves change places. F(right) = floor(h * side / 2^32) with the
        # upper 32 of the 64 bits h of a hash: uniform in 0 .. side - 1 up to side / 2^32.
        bits = mix(right ^ (key + np.uint64(number * GOLDEN & (2**64 - 1))))
        left = left + ((bits >> np.uint64(32)) * side >> np.uint64(32))
        # Where left < side, left - side wraps round to nearly 2^64.
        left, right = right, np.minimum(left, left - side)
    return left * side + right


def _single_or_each(numbers: npt.ArrayLike, shape: tuple[int, ...]) -> Bits:
    """One number as shape ``[1]``, others as one for each position."""
    bits = np.asarray(numbers).astype(np.uint64)
    return bits.reshape(1) if bits.size == 1 else np.broadcast_to(bits, shape).reshape(-1)


def _of(numbers: Bits, chosen: npt.NDArray[np.intp]) -> Bits:
    """The numbers of some positions."""
    return numbers if len(numbers) == 1 else numbers[chosen]
