"""The windowed order's guarantees, for shards and songs of any size."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.order.epochs import EpochOrder, Integers, rank_slice
from loaders.order.windowed import WindowedOrder, default_window, least_window

shard_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def scatter(sizes: list[int], per_song: int) -> tuple[Integers, Integers]:
    """Song and shard of each track; songs of 1 to ``per_song`` tracks, scattered over the shards."""
    random = np.random.default_rng(sum(sizes) + per_song)
    tracks = sum(sizes)
    song = np.repeat(np.arange(tracks), random.integers(1, per_song + 1, tracks))[:tracks]
    return random.permutation(song), random.permutation(np.repeat(np.arange(len(sizes)), sizes))


@st.composite
def orders(draw: st.DrawFn) -> WindowedOrder:
    song, shard = scatter(draw(shard_sizes), draw(st.integers(1, 4)))
    batch_size = draw(st.integers(1, min(12, len(np.unique(song)))))
    least = least_window(song, shard, batch_size)
    window = draw(st.integers(least, max(least, len(np.unique(shard)))))
    return WindowedOrder(song, shard, batch_size, draw(st.integers(0, 99)), window)


@given(orders(), st.integers(0, 1000))
def test_a_track_at_most_once_and_a_song_once_per_batch(order: WindowedOrder, epoch: int) -> None:
    batches = order.epoch(epoch)
    assert batches.shape == (order.steps, order.batch_size)
    assert len(np.unique(batches)) == batches.size
    for batch in batches:
        assert len(np.unique(order.song[batch])) == order.batch_size
    assert order.left_out + order.remainder + batches.size == len(order.song)


@given(orders())
def test_songs_cost_no_batches_in_a_window(order: WindowedOrder) -> None:
    if order.groups > 1:
        assert (order.steps, order.left_out) == (len(order.song) // order.batch_size, 0)
        assert order.remainder < order.batch_size


@given(orders(), st.integers(0, 3), st.data())
def test_any_steps_may_be_asked_for_in_any_order(order: WindowedOrder, epoch: int, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, order.steps - 1), max_size=20))
    fresh = WindowedOrder(order.song, order.shard, order.batch_size, order.seed, order.window)
    rows = fresh.rows(epoch, np.array(steps, np.int64))
    np.testing.assert_array_equal(rows, order.epoch(epoch)[steps])


@given(orders(), st.integers(0, 50))
def test_a_group_uses_its_shards_and_what_was_left_of_the_last(order: WindowedOrder, epoch: int) -> None:
    batches = order.epoch(epoch)
    groups = [order.group_steps(epoch, group) for group in range(order.groups)]
    assert [steps.start for steps in groups] == [0, *(steps.stop for steps in groups[:-1])]
    assert groups[-1].stop == order.steps
    used = [set(order.shard[batches[steps.start : steps.stop]].reshape(-1).tolist()) for steps in groups]
    # A shard's tracks come in one group, or in two that follow each other: fewer than a batch of all in the second.
    for shard in np.unique(order.shard).tolist():
        places = [number for number, shards in enumerate(used) if shard in shards]
        assert len(places) <= 2
        assert not places or places[-1] - places[0] == len(places) - 1
    for last, this in pairwise(groups):
        before = set(order.shard[batches[last.start : last.stop]].reshape(-1).tolist())
        carried = [track for track in batches[this.start : this.stop].reshape(-1) if order.shard[track] in before]
        assert len(carried) < order.batch_size or order.groups == 1
    # As many shards at once as the order said, into the next epoch too.
    following = order.rows(epoch + 1, np.arange(order.group_steps(epoch + 1, 0).stop))
    used.append(set(order.shard[following].reshape(-1).tolist()))
    assert max(len(last | this) for last, this in pairwise(used)) <= order.working_set()


@given(orders(), st.integers(0, 50), st.integers(1, 4), st.data())
def test_announced_shards_are_those_used_in_order_of_first_use(
    order: WindowedOrder, epoch: int, groups: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, order.steps - 1))
    # The plain way: write all steps down, from this one to the end of the last group.
    tracks = [order.epoch(epoch)[step : order.group_steps(epoch, order.group_of(epoch, step)).stop]]
    number = epoch * order.groups + order.group_of(epoch, step)
    for later in range(number + 1, number + groups):
        steps = order.group_steps(later // order.groups, later % order.groups)
        tracks.append(order.epoch(later // order.groups)[steps.start : steps.stop])
    shards = order.shard[np.concatenate(tracks).reshape(-1)]
    assert order.shards_from(epoch, step, groups) == list(dict.fromkeys(shards.tolist()))


@given(orders(), st.integers(0, 9))
def test_every_step_knows_its_group(order: WindowedOrder, epoch: int) -> None:
    for group in range(order.groups):
        steps = order.group_steps(epoch, group)
        assert len(steps) >= np.bincount(order.song).max() or order.groups == 1
        assert {order.group_of(epoch, step) for step in steps} == {group}


@given(shard_sizes, st.integers(1, 4), st.sampled_from([1, 2, 3, 4, 8]))
def test_ranks_join_to_the_global_batches(sizes: list[int], share: int, world_size: int) -> None:
    batch_size = share * world_size
    song, shard = scatter([*sizes, batch_size], per_song=1)
    least = least_window(song, shard, batch_size)
    # Each rank is a process of its own, with an order of its own.
    ranks = [WindowedOrder(song, shard, batch_size, 5, least) for _ in range(world_size)]
    shares = [order.epoch(2)[:, rank_slice(batch_size, rank, world_size)] for rank, order in enumerate(ranks)]
    whole = WindowedOrder(song, shard, batch_size, 5, least).epoch(2)
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


@given(orders())
def test_the_least_window_is_the_least(order: WindowedOrder) -> None:
    least = least_window(order.song, order.shard, order.batch_size)
    sizes = np.sort(np.unique(order.shard, return_counts=True)[1])
    needed = np.bincount(order.song).max() * order.batch_size + len(order.song) % order.batch_size
    assert least == len(sizes) or sizes[:least].sum() >= needed
    assert sizes[: least - 1].sum() < needed
    if len(sizes) // max(1, least - 1) > 1 and least > 1:
        with pytest.raises(ConfigError, match=rf"window of {least - 1} shards is too small.* at least {least} shards"):
            WindowedOrder(order.song, order.shard, order.batch_size, window=least - 1)


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_has_shards(window: int) -> None:
    with pytest.raises(ConfigError, match=f"window of {window} shards is too small"):
        WindowedOrder(np.arange(50), np.arange(50) // 5, 5, window=window)


def test_one_group_is_the_order_of_an_epoch() -> None:
    song, shard = scatter([30] * 10, per_song=3)
    windowed, whole = WindowedOrder(song, shard, 12, 7, window=6), EpochOrder(song, 12, 7)
    assert (windowed.groups, windowed.steps) == (1, whole.steps)
    assert (windowed.left_out, windowed.remainder) == (whole.left_out, whole.remainder)
    np.testing.assert_array_equal(windowed.epoch(3), whole.epoch(3))
    assert windowed.working_set() == 10
    assert sorted(windowed.shards_from(3, 4)) == list(range(10))
    # A song that fills most batches needs all shards together, and even then gives only some of its tracks.
    song[:120] = 0
    windowed = WindowedOrder(song, shard, 6)
    assert (windowed.groups, least_window(song, shard, 6)) == (1, 10)
    assert windowed.left_out == EpochOrder(song, 6).left_out > 0


def test_the_window_where_the_user_does_not_say() -> None:
    shard = np.arange(4000) // 40
    assert default_window(np.arange(4000), shard, 96) == WindowedOrder(np.arange(4000), shard, 96).window == 16
    assert default_window(np.arange(4000) // 10, shard, 96) == -(-(10 * 96 + 4000 % 96) // 40)


def test_seed_and_epoch_change_everything() -> None:
    song, shard = scatter([50] * 40, per_song=2)
    first = WindowedOrder(song, shard, 10, seed=1, window=5)
    assert (first.epoch(0) != first.epoch(1)).mean() > 0.9
    assert (first.epoch(0) != WindowedOrder(song, shard, 10, seed=2, window=5).epoch(0)).mean() > 0.9


@pytest.mark.parametrize("per_song", [1, 2])
def test_every_track_gets_its_turn_at_every_step(per_song: int) -> None:
    # 42 tracks in shards of 3 to 7, 8 batches of 5: each track is used in 40 of 42 epochs and may come at any step,
    # 1/8 of the time: in 500 epochs 476 times, sd 5, and 60 times at each step, sd 7.
    shard = np.repeat(np.arange(9), [3, 3, 4, 4, 5, 5, 5, 6, 7])
    order = WindowedOrder(np.arange(42) // per_song, shard, 5, window=4)
    assert (order.groups, order.steps) == (2, 8)
    counts = np.zeros((42, 8), np.int64)
    for epoch in range(500):
        for step, batch in enumerate(order.epoch(epoch)):
            counts[batch, step] += 1
    assert abs(counts.sum(axis=1) - 500 * 40 / 42).max() < 5.5 * 4.8
    assert abs(counts - 500 * 40 / 42 / 8).max() < 5.5 * 7.2


def test_partners_change() -> None:
    order = WindowedOrder(np.arange(48) // 2, np.arange(48) // 4, 5, window=4)
    assert order.groups == 3
    met = np.eye(48, dtype=bool)
    for epoch in range(200):
        for batch in order.epoch(epoch):
            met[np.ix_(batch, batch)] = True
    same_song = np.equal.outer(order.song, order.song)
    np.testing.assert_array_equal(met, ~same_song | np.eye(48, dtype=bool))


def test_a_million_tracks_a_window_at_a_time() -> None:
    tracks = 1_000_000
    order = WindowedOrder(np.arange(tracks) // 3, np.arange(tracks) // 400, 96)
    tracemalloc.start()
    try:
        for epoch, step in [(3, 9_000), (3, 9_040), (700, 2)]:
            rows = order.rows(epoch, np.arange(step, step + 32))
            assert all(len(np.unique(order.song[batch])) == 96 for batch in rows)
            assert set(order.shard[rows].reshape(-1).tolist()) <= set(order.shards_from(epoch, step, groups=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Pools of 6,400 tracks and the 2,500 shards; a whole epoch's order is 8 MB.
    assert peak < 4_000_000
    assert order.working_set() <= 3 * 16
