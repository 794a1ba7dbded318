"""The thread behind the webdataset backend: how far it runs ahead, how it ends, and the loader in front of it."""

from __future__ import annotations

import gc
import json
import threading
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch

from clmr.errors import ResumeError, ShardError
from loaders import PairLoader
from loaders.reading.slabs import SlabPool
from loaders.tars.feed import Belt, StreamedFeed
from loaders.tars.stream import StoppedError
from tests.loaders.small_shards import CROP, WriteShards, recordings
from tests.loaders.taking import assert_refused_after_fork, content, take
from tests.loaders.tars.test_webdataset import BATCH, described, open_pairs

CPU = torch.device("cpu")


class Numbers:
    """Makes batches that hold their number, and says how many it began."""

    def __init__(self, last: int | None = None) -> None:
        self.begun = 0
        self.ended = threading.Event()
        self._last = last

    def __call__(self, belt: Belt) -> None:
        try:
            for number in count():
                if number == self._last:
                    raise ShardError("that was all")
                made = belt.begin(0, number)
                self.begun += 1
                made.slab.pcm[:] = number
                belt.deliver(made)
        except StoppedError:
            self.ended.set()
            raise


def feed_of(numbers: Numbers, limit: int = 3) -> tuple[StreamedFeed, SlabPool]:
    """A feed and its slabs."""
    slabs = SlabPool((2, 2, 5))
    return StreamedFeed(numbers, slabs, CPU, limit), slabs


def test_batches_come_in_order_and_few_are_ahead() -> None:
    numbers = Numbers()
    feed, slabs = feed_of(numbers)
    for number in range(500):
        batch = next(feed)
        assert (batch.step, batch.pcm.unique().tolist()) == (number, [number])
        assert numbers.begun <= number + 4
    feed.cancel()
    assert slabs.allocated <= 6


def test_held_batches_never_change() -> None:
    feed, _ = feed_of(Numbers())
    held = list(islice(feed, 5))
    list(islice(feed, 50))
    feed.cancel()
    assert [batch.pcm.unique().tolist() for batch in held] == [[number] for number in range(5)]


def test_an_error_comes_after_the_batches_before_it() -> None:
    feed, _ = feed_of(Numbers(last=4))
    assert [batch.step for batch in islice(feed, 4)] == [0, 1, 2, 3]
    for _ in range(2):
        with pytest.raises(ShardError, match="that was all"):
            next(feed)


def test_the_thread_ends_with_the_last_reference() -> None:
    numbers = Numbers()
    feed, _ = feed_of(numbers)
    next(feed)
    del feed
    gc.collect()
    assert numbers.ended.wait(30)


def test_a_cancelled_feed_does_not_wait() -> None:
    feed, _ = feed_of(Numbers())
    feed.cancel()
    with pytest.raises(StoppedError):
        list(feed)


def test_a_forked_child_is_told_so() -> None:
    feed, _ = feed_of(Numbers())
    next(feed)
    assert_refused_after_fork(lambda: next(feed))
    next(feed)  # the parent goes on
    feed.cancel()


@pytest.fixture
def streamed(make_shards: WriteShards) -> Path:
    """40 tracks in 6 shards."""
    return described(make_shards(recordings(40)))


def open_loader(shards: Path, **settings: Any) -> PairLoader:
    return PairLoader(shards, **{"batch_size": BATCH, "crop_frames": CROP, "backend": "webdataset", **settings})


def test_memory_stays_flat_over_epochs(streamed: Path) -> None:
    pairs = open_pairs(streamed)
    feed = pairs.feed(0, 0)
    for _ in islice(feed, 10):
        pass
    allocated = pairs._maker.slabs.allocated
    for _ in islice(feed, 100):
        pass
    feed.cancel()
    assert pairs._maker.slabs.allocated <= allocated <= 24 + 1
    assert pairs._slabs.allocated <= 6


def test_a_pair_loader_resumes(streamed: Path) -> None:
    with open_loader(streamed) as loader:
        assert len(loader) == 5
        assert loader.description.startswith("webdataset backend")
        reference = content(take(loader, 12))
    with open_loader(streamed) as loader:
        take(loader, 7)
        state = json.loads(json.dumps(loader.state_dict()))
    with open_loader(streamed) as loader:
        loader.load_state_dict(state)
        assert content(take(loader, 5)) == reference[7:]


def test_states_of_other_backends_are_refused_both_ways(streamed: Path) -> None:
    with open_loader(streamed) as loader, open_loader(streamed, backend="torch") as other:
        with pytest.raises(ResumeError, match=r"of the backends torch, .* of the backend webdataset"):
            loader.load_state_dict(other.state_dict())
        with pytest.raises(ResumeError, match=r"of the backend webdataset, .* of the backends torch"):
            other.load_state_dict(loader.state_dict())


def test_after_an_error_the_same_batch_comes_again(streamed: Path) -> None:
    with open_loader(streamed) as loader:
        reference = content(take(loader, 5))
    victim = streamed / "train/000002.tar"
    away = victim.with_suffix(".away")
    with open_loader(streamed) as loader:
        seen = content(take(loader, 5))
        state = loader.state_dict()
        victim.rename(away)
        loader.load_state_dict({**state, "epoch": 0, "step": 2})
        for _ in range(2):
            with pytest.raises(ShardError, match=r"000002\.tar is missing"):
                take(loader, 3)
        away.rename(victim)
        assert content(take(loader, 3)) == reference[2:]
    assert seen == reference
