"""Where windows lie, and that cutting them out of blocks gives what slicing the whole gives."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from train.embedding.windows import Grid, cut, grid_of


@given(
    frames=st.integers(0, 400),
    window=st.integers(1, 50),
    hop=st.integers(1, 120),
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=5),
    at_most=st.integers(1, 9),
)
def test_cut_equals_slicing(frames: int, window: int, hop: int, sizes: list[int], at_most: int) -> None:
    whole, grid = np.arange(frames, dtype=np.int16), Grid(8000, window, hop)
    blocks, begin = [], 0
    for size in itertools.chain(sizes, itertools.repeat(17)):
        blocks.append(whole[begin : begin + size])
        begin += size
        if begin >= frames:
            break
    found = list(cut(blocks, grid, at_most))
    assert all(1 <= len(windows) <= at_most for windows in found)
    expected = [whole[start : start + window] for start in range(0, frames - window + 1, hop)]
    assert grid.count(frames) == len(expected)
    np.testing.assert_array_equal(
        np.concatenate([np.empty((0, window), np.int16), *found]), np.reshape(expected, (-1, window))
    )


def test_the_encoder_s_window_and_hops_in_seconds() -> None:
    assert grid_of(22050, None) == Grid(22050, 59049, 59049)
    assert grid_of(22050, 0.5) == Grid(22050, 59049, 11025)
    assert grid_of(8000, 0.00007) == Grid(8000, 20736, 1)
    np.testing.assert_array_equal(grid_of(16000, 0.25).seconds(np.array([0, 1, 4])), [0, 0.25, 1])


def test_a_hop_of_no_sample() -> None:
    with pytest.raises(ConfigError, match=r"--hop 1e-05: at least one sample, 0\.000125 s at 8000 Hz"):
        grid_of(8000, 1e-5)


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e300])
def test_a_hop_without_end(seconds: float) -> None:
    with pytest.raises(ConfigError, match=rf"--hop {re.escape(str(seconds))}: seconds from one window"):
        grid_of(8000, seconds)
