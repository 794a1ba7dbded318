"""The shuffle buffer: whole batches, no song twice in one, and as much mixing as it has room for."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from webdataset.filters import _shuffle

from loaders.tars.mixing import MixingPool


def batches_of(
    songs: list[str], *, batch_size: int, size: int, epoch: int = 0, steps: int | None = None
) -> tuple[list[list[int]], int]:
    """The batches of an epoch, as arrivals by number, and how many songs came a second time to fill it."""
    steps = len(songs) // batch_size if steps is None else steps
    pool: MixingPool[int] = MixingPool(batch_size=batch_size, steps=steps, size=size, seed=5, epoch=epoch)
    batches: list[list[int]] = []
    for number, song in enumerate(songs):
        if pool.admits(song):
            pool.add(song, number)
        while (batch := pool.batch()) is not None:
            batches.append(batch)
    again = 0
    while pool.missing > 0:
        before = again
        for number, song in enumerate(songs):
            if pool.missing > 0 and pool.admits(song, only_missing=True):
                pool.add(song, number)
                again += 1
            while (batch := pool.batch()) is not None:
                batches.append(batch)
        assert again > before
    return batches + list(pool.rest()), again


@given(tracks=st.integers(16, 300), batch_size=st.integers(1, 16), room=st.integers(0, 100), epoch=st.integers(0, 5))
def test_every_track_comes_once(tracks: int, batch_size: int, room: int, epoch: int) -> None:
    songs = [str(number) for number in range(tracks)]
    batches, again = batches_of(songs, batch_size=batch_size, size=batch_size + 1 + room, epoch=epoch)
    assert again == 0
    assert [len(batch) for batch in batches] == [batch_size] * (tracks // batch_size)
    used = Counter(number for batch in batches for number in batch)
    assert set(used.values()) == {1}


@given(st.data())
def test_any_songs_fill_whole_batches_without_meeting(data: st.DataObject) -> None:
    batch_size = data.draw(st.integers(1, 8))
    number_of_songs = data.draw(st.integers(batch_size, 20))
    songs = [str(number) for number in range(number_of_songs)]
    songs += data.draw(st.lists(st.sampled_from(songs), max_size=120))
    songs = data.draw(st.permutations(songs))
    batches, _ = batches_of(songs, batch_size=batch_size, size=batch_size + 1 + data.draw(st.integers(0, 30)))
    assert len(batches) == len(songs) // batch_size
    for batch in batches:
        assert len({songs[number] for number in batch}) == batch_size


def test_tracks_of_a_song_are_kept_apart_without_repeats_where_there_is_room() -> None:
    songs = [str(number % 60) for number in range(300)]  # 5 tracks of each song, not one to spare
    songs = np.random.default_rng(0).permutation(songs).tolist()
    batches, again = batches_of(songs, batch_size=12, size=100)
    assert again == 0
    assert Counter(number for batch in batches for number in batch) == Counter(range(300))


def test_what_does_not_come_is_made_up_for() -> None:
    songs = [str(number) for number in range(90)]
    batches, again = batches_of(songs, batch_size=10, size=30, steps=10)
    assert again == 10
    used = Counter(number for batch in batches for number in batch)
    assert sorted(used.values()) == [1] * 80 + [2] * 10
    assert all(len(set(batch)) == 10 for batch in batches)


def test_the_order_follows_from_the_epoch() -> None:
    songs = [str(number) for number in range(200)]
    first = batches_of(songs, batch_size=8, size=50)
    assert batches_of(songs, batch_size=8, size=50) == first
    assert batches_of(songs, batch_size=8, size=50, epoch=1) != first


def test_the_pool_holds_no_more_than_its_size() -> None:
    pool: MixingPool[int] = MixingPool(batch_size=4, steps=50, size=12, seed=0, epoch=0)
    held = []
    for number in range(200):
        song = str(number % 3 if number < 60 else number)  # 3 songs fill no batch of 4
        if pool.admits(song):
            pool.add(song, number)
        while pool.batch() is not None:
            pass
        held.append(sum(pool._songs.values()))
    assert max(held) == 12


def spread(batches: list[list[int]]) -> float:
    """How far apart the tracks of a batch stood in the stream, as a standard deviation."""
    return float(np.mean([np.std(batch) for batch in batches]))


def test_it_mixes_as_well_as_the_stock_buffer_of_the_same_size() -> None:
    tracks, batch_size, size = 9000, 30, 600
    ours, _ = batches_of([str(number) for number in range(tracks)], batch_size=batch_size, size=size)
    stock = list(_shuffle(iter(range(tracks)), size, size, seed=0))
    theirs = [stock[begin : begin + batch_size] for begin in range(0, tracks, batch_size)]
    middle = slice(50, 250)
    assert spread(ours[middle]) > 0.9 * spread(theirs[middle])
