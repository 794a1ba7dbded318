"""The epoch order's guarantees, for songs of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.order import EpochOrder, Integers, hash_bits, rank_slice

song_sizes = st.lists(st.integers(1, 12), min_size=1, max_size=60)


def songs_of(sizes: list[int]) -> Integers:
    """A song number per track, tracks of a song scattered."""
    song = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(len(song)).permutation(song)


@st.composite
def orders(draw: st.DrawFn) -> EpochOrder:
    sizes = draw(song_sizes)
    batch_size = draw(st.integers(1, len(sizes)))
    return EpochOrder(songs_of(sizes), batch_size, draw(st.integers(-(2**63), 2**63)))


@given(orders(), st.integers(0, 1000))
def test_a_track_at_most_once_and_a_song_once_per_batch(order: EpochOrder, epoch: int) -> None:
    batches = order.epoch(epoch)
    assert batches.shape == (order.steps, order.batch_size)
    assert len(np.unique(batches)) == batches.size
    for batch in batches:
        assert len(np.unique(order.song[batch])) == order.batch_size


@given(orders())
def test_every_track_is_used_left_out_or_remainder(order: EpochOrder) -> None:
    assert order.left_out + order.remainder + order.epoch(0).size == len(order.song)


@given(orders())
def test_no_schedule_has_more_steps(order: EpochOrder) -> None:
    # A batch takes at most one track of a song, so `steps` batches use at most min(size, steps) tracks of it.
    more = order.steps + 1
    assert np.minimum(np.bincount(order.song), more).sum() < more * order.batch_size


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 5))
def test_one_track_per_song_fills_all_batches(tracks: int, batch_size: int, epoch: int) -> None:
    order = EpochOrder(np.arange(tracks + batch_size), batch_size)
    assert order.steps == (tracks + batch_size) // batch_size
    assert order.left_out == 0
    assert order.epoch(epoch).size == order.steps * batch_size


@given(orders(), st.integers(0, 3))
def test_a_pure_function_of_seed_and_epoch(order: EpochOrder, epoch: int) -> None:
    again = EpochOrder(order.song.copy(), order.batch_size, order.seed)
    again.epoch(epoch + 7)
    np.testing.assert_array_equal(order.epoch(epoch), again.epoch(epoch))


def test_seed_and_epoch_change_the_order() -> None:
    song = np.arange(500) // 2
    first = EpochOrder(song, 50, seed=1).epoch(0)
    assert (first != EpochOrder(song, 50, seed=1).epoch(1)).mean() > 0.9
    assert (first != EpochOrder(song, 50, seed=2).epoch(0)).mean() > 0.9


@given(orders(), st.sampled_from([1, 2, 3, 4, 8]))
def test_ranks_join_to_the_global_batches(order: EpochOrder, world_size: int) -> None:
    batch_size = order.batch_size * world_size
    rows = np.arange(batch_size)
    shares = [rows[rank_slice(batch_size, rank, world_size)] for rank in range(world_size)]
    assert {len(share) for share in shares} == {order.batch_size}
    np.testing.assert_array_equal(np.concatenate(shares), rows)


def test_songs_with_too_many_tracks_give_random_ones() -> None:
    song = np.r_[np.zeros(30, np.int64), np.arange(1, 12)]
    order = EpochOrder(song, batch_size=4)
    assert (order.steps, order.left_out, order.remainder) == (3, 27, 2)
    from_big_song = {int(track) for epoch in range(60) for track in order.epoch(epoch).reshape(-1) if song[track] == 0}
    assert from_big_song == set(range(30))


def test_every_track_gets_its_turn_at_every_step() -> None:
    # 2,000 epochs of 24 tracks in 6 batches: a fair order puts a track into a given step 333 times, sd 17.
    order = EpochOrder(np.arange(24) // 2, batch_size=4)
    counts = np.zeros((24, 6), np.int64)
    for epoch in range(2000):
        for step, batch in enumerate(order.epoch(epoch)):
            counts[batch, step] += 1
    assert counts.sum(axis=1).tolist() == [2000] * 24
    assert abs(counts - 2000 / 6).max() < 5.5 * 17


def test_partners_change() -> None:
    # Batches are drawn anew every epoch: over 300 epochs each track of 12 songs meets every track of other songs.
    order = EpochOrder(np.arange(24) // 2, batch_size=6)
    met = np.eye(24, dtype=bool)
    for epoch in range(300):
        for batch in order.epoch(epoch):
            met[np.ix_(batch, batch)] = True
    same_song = np.equal.outer(order.song, order.song)
    np.testing.assert_array_equal(met, ~same_song | np.eye(24, dtype=bool))


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_hashes_never_tie(seed: int, epoch: int) -> None:
    assert len(np.unique(hash_bits(seed, epoch, np.arange(5000), "order.song"))) == 5000


@pytest.mark.parametrize(("batch_size", "songs"), [(13, 12), (2, 1)])
def test_fewer_songs_than_rows_is_an_error(batch_size: int, songs: int) -> None:
    message = f"batch size {batch_size} needs at least {batch_size} different songs, there are {songs}"
    with pytest.raises(ConfigError, match=message):
        EpochOrder(np.repeat(np.arange(songs), 10), batch_size)


@pytest.mark.parametrize(("batch_size", "rank", "world_size"), [(96, 0, 5), (0, 0, 1), (-4, 0, 2)])
def test_batch_must_divide_into_the_ranks(batch_size: int, rank: int, world_size: int) -> None:
    with pytest.raises(ConfigError, match=f"batch size {batch_size} does not divide into {world_size} ranks"):
        rank_slice(batch_size, rank, world_size)


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_rank_outside_the_world_is_an_error(rank: int, world_size: int) -> None:
    with pytest.raises(ConfigError, match=f"rank {rank} of world size {world_size}"):
        rank_slice(96, rank, world_size)


def test_a_million_tracks_by_arrays_alone() -> None:
    song = np.arange(1_000_000) // 3
    order = EpochOrder(song, batch_size=4096)
    batches = order.epoch(5)
    assert batches.shape == (1_000_000 // 4096, 4096)
    assert len(np.unique(batches)) == batches.size
    assert batches.nbytes <= 8 * len(song)
