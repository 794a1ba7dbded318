"""The computed shuffle is one to one for every size, and looks like any other shuffle. All keys are fixed."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loaders.order.permutation import Integers, draw_below, hash_bits, permute

KEYS = hash_bits(0, 0, np.arange(20_000), "test")
LIMIT = 1e-5  # a fair shuffle fails one in 100,000 tests of fixed keys: these keys pass, and always will


def shuffles(size: int, count: int) -> Integers:
    """Permutations by different keys, shape ``[count, size]``."""
    return permute(np.tile(np.arange(size), (count, 1)), size, np.repeat(KEYS[:count], size).reshape(count, size))


def is_uniform(counts: Integers) -> bool:
    """Chi-square test of equally likely cells."""
    return bool(stats.chisquare(counts).pvalue > LIMIT)


def test_one_to_one_for_every_small_size() -> None:
    for size in range(1, 400):
        for key in KEYS[:3]:
            np.testing.assert_array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


@pytest.mark.parametrize("size", [1023, 1024, 1025, 4095, 4096, 4097, 65_535, 65_536, 65_537, 100_000, 262_145])
def test_one_to_one_around_squares_and_powers(size: int) -> None:
    assert len(np.unique(images := permute(np.arange(size), size, KEYS[7]))) == size
    assert (images.min(), images.max()) == (0, size - 1)


@given(st.integers(1, 2**62), st.integers(0, 2**64 - 1), st.data())
def test_large_sizes_stay_inside_and_apart(size: int, key: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True))
    images = permute(positions, size, key)
    assert len(np.unique(images)) == len(positions)
    assert 0 <= images.min() <= images.max() < size


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 39), st.integers(0, 5)), min_size=1, max_size=60))
def test_each_position_is_permuted_by_itself(asked: list[tuple[int, int, int]]) -> None:
    size, position, key = np.array(asked).T
    position %= size
    together = permute(position, size, KEYS[key])
    alone = [permute(p, s, KEYS[k]) for p, s, k in zip(position, size, key, strict=True)]
    np.testing.assert_array_equal(together, np.array(alone))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_permutations_of_few_things_are_equally_likely(size: int) -> None:
    codes = shuffles(size, len(KEYS)) @ size ** np.arange(size)
    seen, counts = np.unique(codes, return_counts=True)
    assert len(seen) == math.factorial(size)
    assert is_uniform(counts)


@pytest.mark.parametrize("size", [6, 7, 8, 9, 12, 16, 17, 25, 32, 33, 64, 65])
def test_single_things_and_pairs_go_everywhere_alike(size: int) -> None:
    images = shuffles(size, len(KEYS))
    for position in range(size):
        assert is_uniform(np.bincount(images[:, position], minlength=size))
    for first, second in [(0, 1), (0, size // 2), (size // 3, size - 1), (0, math.isqrt(size))]:
        pairs = np.bincount(images[:, first] * size + images[:, second], minlength=size**2).reshape(size, size)
        assert not pairs.diagonal().any()
        assert is_uniform(pairs[~np.eye(size, dtype=bool)])


@pytest.mark.parametrize("size", [2**16, 2**16 + 1, 10**6, 2**20 + 1])
def test_no_trace_of_the_old_order(size: int) -> None:
    images = permute(np.arange(size), size, KEYS[11])
    side = math.isqrt(size)
    for lag in (1, 2, 3, side - 1, side, side + 1, size // 2):
        ahead = np.roll(images, -lag)
        correlation = np.corrcoef(images, ahead)[0, 1]
        assert abs(correlation) < 5 / math.sqrt(size), lag
        # Where a position and one `lag` further go: 16 x 16 coarse cells, and the last 4 bits of both.
        for coarse, other in ((images * 16 // size, ahead * 16 // size), (images % 16, ahead % 16)):
            assert is_uniform(np.bincount(coarse * 16 + other, minlength=256)), lag
    assert is_uniform(np.bincount(images[: size // 16] * 64 // size, minlength=64))


def test_things_that_stay_and_cycles_are_as_many_as_by_chance() -> None:
    images = shuffles(257, 2000)
    stay = (images == np.arange(257)).sum(axis=1)  # Poisson, mean 1
    assert abs(stay.mean() - 1) < 5 / math.sqrt(2000)
    assert abs(stay.var() - 1) < 5 * math.sqrt(3 / 2000)  # fourth central moment of Poisson(1) is 4
    descents = (np.diff(images, axis=1) < 0).sum(axis=1)  # mean (n - 1) / 2, variance (n + 1) / 12
    assert abs(descents.mean() - 128) < 5 * math.sqrt(258 / 12 / 2000)
    assert 0.85 < descents.var() / (258 / 12) < 1.15


def test_half_of_the_permutations_are_odd() -> None:
    odd = 0
    for shuffle in shuffles(64, 1000):
        left = set(range(64))
        cycles = 0
        while left:
            cycles += 1
            place = next(iter(left))
            while place in left:
                left.remove(place)
                place = int(shuffle[place])
        odd += (64 - cycles) % 2
    assert abs(odd - 500) < 5 * math.sqrt(250)


def test_neighbouring_keys_share_nothing() -> None:
    same = [(permute(np.arange(1000), 1000, key) == permute(np.arange(1000), 1000, key + 1)).sum() for key in range(50)]
    assert sum(same) < 50 + 5 * math.sqrt(50)


def test_memory_does_not_grow_with_the_size() -> None:
    positions = np.arange(1000)
    tracemalloc.start()
    try:
        permute(positions, 2**62, KEYS[0])
        assert tracemalloc.get_traced_memory()[1] < 200_000  # 25 arrays of 1,000 numbers
    finally:
        tracemalloc.stop()


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_hashes_never_tie(seed: int, epoch: int) -> None:
    assert len(np.unique(hash_bits(seed, epoch, np.arange(5000), "order.song"))) == 5000


def test_a_draw_is_uniform_below_its_limit() -> None:
    drawn = np.array([draw_below(10, 3, epoch, "test") for epoch in range(5000)])
    assert is_uniform(np.bincount(drawn, minlength=10))
    assert len(np.bincount(drawn)) == 10
