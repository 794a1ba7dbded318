"""The tracks shown: seeded, of different songs, from every split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sharding.format import ShardSet, open_shards
from sharding.page.choice import choose_tracks
from tests.sharding.page.material import Song, skipped, write_shards

PCM = np.ones(10, np.int16)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """40 tracks of 20 songs for training, 2 for validation, 9 for testing, and one that was skipped."""
    songs = [Song(f"a-{number}", "a.mp3", PCM, "train", f"song-{number % 20}") for number in range(40)]
    songs += [Song(f"b-{number}", "b.mp3", PCM, "valid") for number in range(2)]
    songs += [Song(f"c-{number}", "c.mp3", PCM, "test") for number in range(9)]
    return open_shards(write_shards(tmp_path_factory.mktemp("choice") / "shards", [*songs, skipped(0, "silent")]))


def test_splits_share_as_evenly_as_their_songs_allow(shards: ShardSet) -> None:
    tracks = choose_tracks(shards, 12, seed=0)
    assert Counter(track.split for track in tracks) == {"train": 5, "valid": 2, "test": 5}
    assert [track.split for track in tracks] == sorted(
        (track.split for track in tracks), key=["train", "valid", "test"].index
    )


@pytest.mark.parametrize("number", [0, 1, 12, 31, 1000])
def test_no_song_comes_twice(shards: ShardSet, number: int) -> None:
    tracks = choose_tracks(shards, number, seed=1)
    assert len(tracks) == min(number, 20 + 2 + 9)
    assert len({track.song_id for track in tracks}) == len(tracks)


def test_the_seed_decides(shards: ShardSet) -> None:
    assert choose_tracks(shards, 12, seed=3) == choose_tracks(shards, 12, seed=3)
    assert choose_tracks(shards, 12, seed=3) != choose_tracks(shards, 12, seed=4)


def test_every_track_has_its_turn(shards: ShardSet) -> None:
    drawn = {track.key for seed in range(100) for track in choose_tracks(shards, 12, seed)}
    assert len(drawn) == 51
