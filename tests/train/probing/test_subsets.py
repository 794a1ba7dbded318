"""Shares of the songs: nested, whole songs, seeded, never empty, of the size asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError
from train.probing.subsets import nested_subset

SONGS = st.lists(st.integers(0, 40).map(lambda number: f"song-{number}"), min_size=1, max_size=80)
FRACTIONS = st.floats(0, 1, exclude_min=True)


@settings(max_examples=40)
@given(SONGS, st.lists(FRACTIONS, min_size=2, max_size=5), st.integers(-5, 2**40))
def test_a_smaller_share_lies_in_a_larger_one(songs: list[str], fractions: list[float], seed: int) -> None:
    masks = [nested_subset(songs, fraction, seed) for fraction in sorted(fractions)]
    for smaller, larger in pairwise(masks):
        assert not (smaller & ~larger).any()


@settings(max_examples=40)
@given(SONGS, FRACTIONS, st.integers(0, 9))
def test_whole_songs_of_the_size_asked_for(songs: list[str], fraction: float, seed: int) -> None:
    mask = nested_subset(songs, fraction, seed)
    inside = {song for song, taken in zip(songs, mask, strict=True) if taken}
    outside = {song for song, taken in zip(songs, mask, strict=True) if not taken}
    assert not inside & outside
    assert len(inside) == max(1, round(fraction * len(set(songs))))


@settings(max_examples=40)
@given(SONGS, FRACTIONS, st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_the_songs_follow_from_names_and_seed(songs: list[str], fraction: float, seed: int, other: int) -> None:
    mask = nested_subset(songs, fraction, seed)
    order = np.random.default_rng(other).permutation(len(songs))
    shuffled = nested_subset([songs[place] for place in order], fraction, seed)
    assert np.array_equal(shuffled, mask[order])


def test_another_seed_takes_other_songs() -> None:
    songs = [f"song-{number}" for number in range(400)]
    first, second = (nested_subset(songs, 0.5, seed) for seed in (0, 1))
    # Of 200 songs the other draw takes each with probability 1/2: 100 in common, with a deviation of 5.
    assert abs(int((first & second).sum()) - 100) < 30


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_refuses_other_shares(fraction: float) -> None:
    with pytest.raises(ConfigError, match="--label-fraction"):
        nested_subset(["song"], fraction, 0)


def test_refuses_nothing() -> None:
    with pytest.raises(ConfigError, match="no tracks"):
        nested_subset([], 0.5, 0)
