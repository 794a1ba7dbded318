"""Mixtures: what a command line says, who gets how many rows, and every data set's own passes through its order."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders.order.epochs import EpochOrder, Order, rank_slice
from loaders.order.mixture import MixedOrder, parse_mixture, shares
from loaders.order.windowed import WindowedOrder, least_window

weights = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6)


@st.composite
def members(draw: st.DrawFn, share: int, number: int) -> Order:
    """An order over some tracks in some shards, windowed or not."""
    song = np.arange(draw(st.integers(share, 12 * share))) // draw(st.integers(1, 2))
    song = np.append(song, song.max() + 1 + np.arange(share))
    if draw(st.booleans()):
        return EpochOrder(song, share, seed=number)
    shard = np.arange(len(song)) // draw(st.integers(1, 20))
    return WindowedOrder(song, shard, share, number, least_window(song, shard, share))


@st.composite
def mixtures(draw: st.DrawFn) -> MixedOrder:
    rows = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return MixedOrder([draw(members(share, number)) for number, share in enumerate(rows)])


@settings(max_examples=40)  # each looks at every batch
@given(mixtures(), st.integers(0, 5))
def test_constant_shares_of_each_data_sets_own_batches(mixed: MixedOrder, epoch: int) -> None:
    rows = mixed.rows(epoch, np.arange(mixed.steps))
    assert rows.source.shape == rows.track.shape == rows.passes.shape == (mixed.steps, mixed.batch_size)
    for step in range(mixed.steps):
        for source, order in enumerate(mixed.orders):
            here = rows.source[step] == source
            assert here.sum() == order.batch_size
            number, own_step = mixed.own_step(source, epoch, step)
            assert number * order.steps + own_step == epoch * mixed.steps + step
            assert (rows.passes[step, here] == number).all()
            np.testing.assert_array_equal(rows.track[step, here], order.rows(number, np.array([own_step]))[0])


@settings(max_examples=40)
@given(mixtures())
def test_every_pass_holds_a_track_at_most_once(mixed: MixedOrder) -> None:
    rows = [mixed.rows(epoch, np.arange(mixed.steps)) for epoch in range(3)]
    source, track, passes = (
        np.concatenate([getattr(part, name).reshape(-1) for part in rows]) for name in ("source", "track", "passes")
    )
    drawn = np.stack([source, track, passes], axis=1)
    assert len(np.unique(drawn, axis=0)) == len(drawn)
    for number, order in enumerate(mixed.orders):
        own = passes[source == number]
        whole = order.steps * order.batch_size
        assert set(np.bincount(own)[:-1].tolist()) <= {whole}  # every pass but the last is whole
        assert len(np.unique(own)) >= 3  # and each epoch has one at least
        if order.steps == mixed.steps:
            assert np.bincount(own).tolist() == [whole] * 3


@given(mixtures(), st.integers(0, 3), st.data())
def test_any_steps_may_be_asked_for_in_any_order(mixed: MixedOrder, epoch: int, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, mixed.steps - 1), max_size=12))
    asked, whole = mixed.rows(epoch, np.array(steps, np.int64)), mixed.rows(epoch, np.arange(mixed.steps))
    np.testing.assert_array_equal(asked.source, whole.source[steps])
    np.testing.assert_array_equal(asked.track, whole.track[steps])
    np.testing.assert_array_equal(asked.passes, whole.passes[steps])


@given(st.integers(1, 8).flatmap(lambda share: members(share, number=3)), st.integers(0, 50))
def test_one_data_set_keeps_its_own_order(order: Order, epoch: int) -> None:
    mixed = MixedOrder([order])
    assert (mixed.steps, mixed.batch_size) == (order.steps, order.batch_size)
    rows = mixed.rows(epoch, np.arange(order.steps))
    np.testing.assert_array_equal(rows.track, order.epoch(epoch))
    assert not rows.source.any()
    assert (rows.passes == epoch).all()


@given(st.integers(1, 40), weights, st.sampled_from([1, 2, 3, 4, 8]))
def test_every_rank_gets_nearly_the_same_mixture(share: int, weights: list[float], world_size: int) -> None:
    batch_size = share * world_size
    if batch_size < len(weights):
        return
    counts = shares(batch_size, weights)
    mixed = MixedOrder([EpochOrder(np.arange(3 * count), count) for count in counts.tolist()])
    source = mixed.rows(1, np.arange(mixed.steps)).source
    slices = [source[:, rank_slice(batch_size, rank, world_size)] for rank in range(world_size)]
    np.testing.assert_array_equal(np.concatenate(slices, axis=1), source)
    # Up to the point x of the batch, 0 <= x <= 1, stand n x + 1/2 rows of each data set, rounded down, so x is off by
    # half a row per data set at the most, and a data set at both ends of a slice by half a row and its part of that.
    for rows in slices:
        held = np.stack([(rows == number).sum(axis=1) for number in range(len(counts))], axis=1)
        assert (abs(held - counts / world_size) <= 1 + len(counts) * counts / batch_size + 1e-9).all()


@given(st.integers(1, 300), weights)
def test_shares_are_exact_and_near_the_weights(batch_size: int, weights: list[float]) -> None:
    if batch_size < len(weights):
        with pytest.raises(ConfigError, match=f"less than the {len(weights)} data sets"):
            shares(batch_size, weights)
        return
    rows = shares(batch_size, weights)
    assert rows.sum() == batch_size
    assert rows.min() >= 1
    ideal = batch_size * np.array(weights) / sum(weights)
    if ideal.min() >= 1:
        assert abs(rows - ideal).max() < 1
    np.testing.assert_array_equal(rows, shares(batch_size, [8 * weight for weight in weights]))


@pytest.mark.parametrize(
    ("batch_size", "weights", "rows"),
    [
        (10, [0.7, 0.3], [7, 3]),
        (96, [0.7, 0.3], [67, 29]),
        (96, [1, 1, 1], [32, 32, 32]),
        (4, [1, 1, 1], [2, 1, 1]),
        (10, [1000, 1, 1], [8, 1, 1]),
        (3, [1e308, 1e308, 1e-308], [1, 1, 1]),
        (7, [5], [7]),
    ],
)
def test_shares_by_largest_remainder(batch_size: int, weights: list[float], rows: list[int]) -> None:
    assert shares(batch_size, weights).tolist() == rows


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_weights_are_positive_numbers(weight: float) -> None:
    with pytest.raises(ConfigError, match=f"a weight is {weight:g}"):
        shares(10, [1, weight])


def test_a_mixture_has_data_sets() -> None:
    with pytest.raises(ConfigError, match="no data sets"):
        shares(10, [])
    with pytest.raises(ConfigError, match="no shards are given"):
        parse_mixture([])


@pytest.mark.parametrize(
    ("texts", "mixture"),
    [
        (["data/a"], (("data/a", 1.0),)),
        (["a=0.7", "b=0.3"], (("a", 0.7), ("b", 0.3))),
        (["a", "b=3e-1", "c=+2"], (("a", 1.0), ("b", 0.3), ("c", 2.0))),
        (["s3://bucket/day=7/shards"], (("s3://bucket/day=7/shards", 1.0),)),
        (["day=7=2", "day=monday"], (("day=7", 2.0), ("day=monday", 1.0))),
        (["https://host/a?x=y=0.5"], (("https://host/a?x=y", 0.5),)),
    ],
)
def test_what_a_command_line_says(texts: list[str], mixture: tuple[tuple[str, float], ...]) -> None:
    assert parse_mixture(texts) == mixture


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a=0"], "the weight of a in 'a=0' is 0"),
        (["a=-0.5"], "the weight of a in 'a=-0.5' is -0.5"),
        (["a", "b=nan"], "the weight of b in 'b=nan' is nan"),
        (["a=inf"], "the weight of a in 'a=inf' is inf"),
        (["a=1", "a=2"], "a is given twice"),
        (["s3://b/a", "s3://b/a/=2"], "s3://b/a/ is given twice"),
        (["=0.5"], "'=0.5' names no shards"),
        ([""], "'' names no shards"),
        (["a="], "'a=' has no weight after its '='"),
    ],
)
def test_mixtures_that_make_no_sense(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_mixture(texts)
