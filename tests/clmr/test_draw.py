"""The counter-based draws: NumPy, torch and plain integers agree to the bit, and the numbers are random enough."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clmr import draw

MASK = 2**64 - 1


def mix_int(z: int) -> int:
    """SplitMix64's finaliser on Python's unbounded integers."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def key_int(seed: int, epoch: int, track: int, view: int) -> int:
    state = 0
    for position, word in enumerate((seed, epoch, track, view), start=1):
        state = mix_int(state ^ mix_int((word & MASK) + position * 0x9E3779B97F4A7C15 & MASK))
    return state


def uniform_int(key: int, stream: str) -> float:
    number = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")
    return (mix_int(key & MASK ^ number) >> 11) / 2**53


def signed(word: int) -> int:
    return word - 2**64 if word >> 63 else word


words = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(words, min_size=1, max_size=20), st.text(max_size=20))
def test_three_implementations_agree(keys: list[int], stream: str) -> None:
    array = np.array(keys, dtype=np.int64)
    tensor = torch.from_numpy(array)
    expected = [uniform_int(key, stream) for key in keys]
    assert draw.uniform_numpy(array, stream).tolist() == expected
    assert draw.uniform(tensor, stream).tolist() == expected
    mixed = [signed(mix_int(key & MASK)) for key in keys]
    assert draw.mix(array.view(np.uint64)).view(np.int64).tolist() == mixed
    assert draw.mix_torch(tensor).tolist() == mixed


@given(words, st.integers(0, 10**6), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_keys_agree_with_plain_integers(seed: int, epoch: int, tracks: list[int]) -> None:
    expected = [[signed(key_int(seed, epoch, track, view)) for view in (0, 1)] for track in tracks]
    assert draw.make_keys(seed, epoch, tracks).tolist() == expected


def test_golden_values() -> None:
    """What these pin decides every run's data: changing it breaks the resuming of old runs."""
    # The published first outputs of SplitMix64 from state 0.
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(draw.GOLDEN)
    assert draw.mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    keys = draw.make_keys(42, 3, [0, 1])
    assert keys.tolist() == GOLDEN_KEYS
    assert draw.uniform_numpy(keys, "crop").tolist() == GOLDEN_CROP
    samples = draw.normal(torch.from_numpy(keys[0]), "noise.samples", 3)
    torch.testing.assert_close(samples, torch.tensor(GOLDEN_NORMAL), rtol=1e-6, atol=1e-6)


GOLDEN_KEYS = [[-5611586368109119122, -8908135656657868918], [-624904851898718242, 11532680096445944]]
GOLDEN_CROP = [[0.803549116668571, 0.3245982256739547], [0.7597522931757701, 0.3181188813382678]]
GOLDEN_NORMAL = [[-0.0177378, -0.6961177, 0.2002114], [0.0750611, 0.289937, -0.1455]]


def test_words_of_a_key_are_kept_apart() -> None:
    """Exchanging two words or moving one by one gives another key; 4 x 8^3 keys are all distinct."""
    keys = [draw.make_keys(seed, epoch, range(8), range(8)) for seed in range(-2, 2) for epoch in range(8)]
    assert len(np.unique(np.stack(keys))) == 4 * 8**3


N = 200_000
ROWS = torch.from_numpy(draw.make_keys(7, 0, range(N), (0,))[:, 0].copy())


@pytest.mark.parametrize("stream", ["crop", "gain.db", "filter.high"])
def test_uniform(stream: str) -> None:
    """Chi-square over 100 cells; the seed is fixed, so this passes or fails for good."""
    cells = torch.histc(draw.uniform(ROWS, stream), bins=100, min=0, max=1)
    assert 0.001 < stats.chisquare(cells.numpy()).pvalue < 0.999


def test_uniform_is_below_one() -> None:
    top = draw._shift_right(torch.tensor([-1]), 11).to(torch.float64) * 2.0**-53
    assert top.item() == 1 - 2.0**-53


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (draw.uniform(ROWS[:-1], "crop"), draw.uniform(ROWS[1:], "crop")),
        (draw.uniform(ROWS, "crop"), draw.uniform(ROWS, "gain.db")),
        (draw.uniform(torch.arange(N), "crop"), draw.uniform(torch.arange(N) + 1, "crop")),
        (draw.normal(ROWS[:500], "a", 400)[:, :-1].flatten(), draw.normal(ROWS[:500], "a", 400)[:, 1:].flatten()),
        (draw.normal(ROWS[:500], "a", 400)[:, :200].flatten(), draw.normal(ROWS[:500], "a", 400)[:, 200:].flatten()),
        (draw.normal(ROWS[:500], "a", 400)[:-1].flatten(), draw.normal(ROWS[:500], "a", 400)[1:].flatten()),
    ],
    ids=["keys of neighbouring tracks", "streams", "consecutive keys", "samples", "halves", "rows"],
)
def test_independent(x: torch.Tensor, y: torch.Tensor) -> None:
    """Neither the values nor their squares are correlated beyond 4 standard deviations."""
    for a, b in ((x, y), (x.square(), y.square()), (x, y.square())):
        assert abs(np.corrcoef(a.double(), b.double())[0, 1]) < 4 / math.sqrt(len(x))


def test_normal() -> None:
    z = draw.normal(ROWS[:100], "noise.samples", 2001).double().flatten().numpy()
    n = len(z)
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert stats.kstest(z, "norm").pvalue > 0.001
    assert abs(z).max() < 6.7


def test_tails_of_normal() -> None:
    """Two million samples fall into the cells of equal probability, and as far out, as they should."""
    z = draw.normal(ROWS[:1000], "noise.samples", 2001).double().flatten().numpy()
    cells = np.histogram(stats.norm.cdf(z), bins=200, range=(0, 1))[0]
    assert 0.001 < stats.chisquare(cells).pvalue < 0.999
    for beyond in (3.0, 3.5, 4.0, 4.5):
        for far in (z > beyond, z < -beyond):
            expected = len(z) * stats.norm.sf(beyond)
            assert abs(far.sum() - expected) < 5 * math.sqrt(expected)
    assert 4.7 < abs(z).max() < 6.7


def test_normal_in_float64() -> None:
    """Box and Muller's formula on SplitMix64's words; the samples are it to float32 rounding."""
    state = mix_int(99 ^ int.from_bytes(hashlib.blake2b(b"hiss", digest_size=8).digest(), "little"))
    words = [mix_int(state + i * draw.GOLDEN & MASK) for i in range(1, 5001)]
    u = np.array([((word >> 32) + 1) / 2**32 for word in words])
    angle = np.array([2 * math.pi * (word & 0xFFFFFFFF) / 2**32 for word in words])
    radius = np.sqrt(-2 * np.log(u))
    got = draw.normal(torch.tensor([99]), "hiss", 10_000)[0].double().numpy()
    # u is rounded by 2^-25 of itself at most, which moves the radius by 2^-25 / radius; the angle by 4e-7.
    bound = 2.0**-24 / radius + 1e-6 * radius
    assert (abs(got[:5000] - radius * np.cos(angle)) < bound).all()
    assert (abs(got[5000:] - radius * np.sin(angle)) < bound).all()


def test_normal_of_a_row_alone() -> None:
    together = draw.normal(ROWS[:5], "noise.samples", 101)
    assert together.shape == (5, 101)
    for row in range(5):
        assert torch.equal(draw.normal(ROWS[row : row + 1], "noise.samples", 101)[0], together[row])
    assert draw.normal(ROWS[:2], "noise.samples", 1).shape == (2, 1)
