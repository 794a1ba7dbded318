"""The epoch order's guarantees, for songs of any size."""

from __future__ import annotations

import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.order import sequence
from loaders.order.epochs import EpochOrder, Integers, rank_slice

song_sizes = st.lists(st.integers(1, 12), min_size=1, max_size=60)


def songs_of(sizes: list[int]) -> Integers:
    """A song number per track, tracks of a song scattered."""
    song = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(len(song)).permutation(song)


def build(song: Integers, batch_size: int, seed: int, blocks: int) -> EpochOrder:
    """An order whose sequence of songs is cut into so many blocks: small data has the seams of large data too."""
    with patch.object(sequence, "BLOCKS", blocks):
        return EpochOrder(song, batch_size, seed)


any_blocks = st.sampled_from([1, 2, 7, sequence.BLOCKS])


@st.composite
def orders(draw: st.DrawFn) -> EpochOrder:
    sizes = draw(song_sizes)
    batch_size = draw(st.integers(1, len(sizes)))
    return build(songs_of(sizes), batch_size, draw(st.integers(-(2**63), 2**63)), draw(any_blocks))


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


@given(song_sizes, st.integers(0, 99), any_blocks, st.integers(0, 3))
def test_a_pure_function_of_seed_and_epoch(sizes: list[int], seed: int, blocks: int, epoch: int) -> None:
    order, again = (build(songs_of(sizes), (len(sizes) + 1) // 2, seed, blocks) for _ in range(2))
    again.epoch(epoch + 7)
    np.testing.assert_array_equal(order.epoch(epoch), again.epoch(epoch))


def test_seed_and_epoch_change_the_order() -> None:
    song = np.arange(500) // 2
    first = EpochOrder(song, 50, seed=1).epoch(0)
    assert (first != EpochOrder(song, 50, seed=1).epoch(1)).mean() > 0.9
    assert (first != EpochOrder(song, 50, seed=2).epoch(0)).mean() > 0.9


@given(orders(), st.integers(0, 3), st.data())
def test_any_steps_may_be_asked_for_in_any_order(order: EpochOrder, epoch: int, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, order.steps - 1), max_size=20))
    np.testing.assert_array_equal(order.rows(epoch, np.array(steps, np.int64)), order.epoch(epoch)[steps])


@given(song_sizes, st.integers(1, 5), st.sampled_from([1, 2, 3, 4, 8]))
def test_ranks_join_to_the_global_batches(sizes: list[int], share: int, world_size: int) -> None:
    batch_size = share * world_size
    song = songs_of(sizes + [1] * batch_size)
    batches = EpochOrder(song, batch_size).epoch(2)
    # Each rank is a process of its own, with an order of its own.
    shares = [
        EpochOrder(song, batch_size).epoch(2)[:, rank_slice(batch_size, rank, world_size)] for rank in range(world_size)
    ]
    assert {rows.shape for rows in shares} == {(len(batches), share)}
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), batches)


@given(song_sizes, st.integers(0, 100))
def test_every_track_comes_sooner_or_later(sizes: list[int], seed: int) -> None:
    order = EpochOrder(songs_of(sizes), max(1, len(sizes) // 2), seed)
    # A track comes with at least the chance of a song with 12 tracks in an epoch of one step, 1 / 24: missing 600
    # epochs has a chance of 1e-11.
    missing = set(range(len(order.song)))
    for epoch in range(600):
        missing -= set(order.epoch(epoch).reshape(-1).tolist())
        if not missing:
            break
    assert not missing


def test_songs_with_too_many_tracks_give_random_ones() -> None:
    song = np.r_[np.zeros(30, np.int64), np.arange(1, 12)]
    order = EpochOrder(song, batch_size=4)
    assert (order.steps, order.left_out, order.remainder) == (3, 27, 2)
    from_big_song = {int(track) for epoch in range(60) for track in order.epoch(epoch).reshape(-1) if song[track] == 0}
    assert from_big_song == set(range(30))


def test_every_track_gets_its_turn_at_every_step() -> None:
    # 1,000 epochs of 24 tracks in 6 batches: a fair order puts a track into a given step 167 times, sd 12.
    order = EpochOrder(np.arange(24) // 2, batch_size=4)
    counts = np.zeros((24, 6), np.int64)
    for epoch in range(1000):
        for step, batch in enumerate(order.epoch(epoch)):
            counts[batch, step] += 1
    assert counts.sum(axis=1).tolist() == [1000] * 24
    assert abs(counts - 1000 / 6).max() < 5.5 * 12


def test_what_does_not_fill_a_batch_is_another_part_each_time() -> None:
    # 26 usable tracks of songs of 1 to 4, 24 in batches: each is left over 2 times in 26, 115 of 1,500, sd 10.
    order = EpochOrder(np.repeat(np.arange(11), [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4]), batch_size=6)
    assert (order.steps, order.left_out, order.remainder) == (4, 0, 2)
    used = np.bincount(np.concatenate([order.epoch(epoch).reshape(-1) for epoch in range(1500)]), minlength=26)
    assert abs(1500 - used - 1500 * 2 / 26).max() < 5.5 * 10


def test_partners_change() -> None:
    # Batches are drawn anew every epoch: over 300 epochs each track of 12 songs meets every track of other songs.
    order = EpochOrder(np.arange(24) // 2, batch_size=6)
    met = np.eye(24, dtype=bool)
    for epoch in range(300):
        for batch in order.epoch(epoch):
            met[np.ix_(batch, batch)] = True
    same_song = np.equal.outer(order.song, order.song)
    np.testing.assert_array_equal(met, ~same_song | np.eye(24, dtype=bool))


def test_songs_of_a_rare_size_meet_too() -> None:
    # Two songs of 6 tracks and three of 3 among 60 of one. Always side by side, those of a size would fill fewer places
    # than there are steps and never share one. A track meets 4 of the 75 or more tracks of other songs in an epoch, so
    # each of them about 27 times in 500 epochs.
    song = np.repeat(np.arange(65), [6, 6, 3, 3, 3] + [1] * 60)
    order = EpochOrder(song, batch_size=5)
    assert order.steps > 6 + 6
    met = np.zeros((65, 65))
    for epoch in range(500):
        for batch in song[order.epoch(epoch)]:
            met[np.ix_(batch, batch)] += 1
    rare = met[:5, :5] / np.outer([6, 6, 3, 3, 3], [6, 6, 3, 3, 3])
    assert rare[~np.eye(5, dtype=bool)].min() > 27 / 2


def test_large_songs_stand_in_all_rows() -> None:
    song = np.repeat(np.arange(130), [20] * 5 + [1] * 125)
    rows = np.zeros(8)
    for epoch in range(200):
        rows += (song[EpochOrder(song, batch_size=8).epoch(epoch)] < 5).sum(axis=0)
    assert rows.min() > 0.8 * rows.mean()


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


def peak_of(order: EpochOrder, epoch: int) -> int:
    """Bytes that planning 32 batches needs for a moment."""
    steps = np.arange(order.steps - 32, order.steps)
    tracemalloc.start()
    try:
        order.rows(epoch, steps)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("per_song", [1, 3])
def test_a_call_needs_no_more_memory_for_a_million_tracks(per_song: int) -> None:
    few, many = (EpochOrder(np.arange(tracks) // per_song, batch_size=96) for tracks in (10_000, 1_000_000))
    assert peak_of(many, epoch=5) < 1.2 * peak_of(few, epoch=5)
    assert peak_of(many, epoch=6) < 1_000_000  # nothing of one byte per track


@pytest.mark.parametrize("per_song", [1, 3])
def test_a_million_tracks_by_arrays_alone(per_song: int) -> None:
    song = np.arange(1_000_000) // per_song
    order = EpochOrder(song, batch_size=4096)
    batches = order.epoch(5)
    assert batches.shape == (1_000_000 // 4096, 4096)
    assert len(np.unique(batches)) == batches.size
    assert all(len(np.unique(song[batch])) == 4096 for batch in batches)
