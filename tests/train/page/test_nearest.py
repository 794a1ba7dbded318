"""Neighbours: by cosine, of other songs, and how often they share a label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clmr.errors import FeatureError
from tests.train.page.material import hostile_songs, write_dump
from train.page.nearest import SplitTracks, choose_queries, count_sharing, nearest, read_test_tracks


def made_up(count: int = 40, seed: int = 3) -> SplitTracks:
    """Random tracks, two a song, of which every tenth has no label."""
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((count, 5)).astype(np.float32)
    labels = rng.random((count, 4)) < 0.4
    labels[::10] = False
    return SplitTracks(
        mean=mean / np.linalg.norm(mean, axis=1, keepdims=True),
        labels=labels,
        key=np.array([f"key-{number:02d}" for number in range(count)]),
        song=np.arange(count) // 2,
        vocabulary=("a", "b", "c", "d"),
        shards=None,
        sample_rate=8000,
        encoder="made up",
    )


def by_hand(tracks: SplitTracks, query: int) -> list[int]:
    """Other songs' tracks, the nearest first, one pair at a time."""
    others = [track for track in range(len(tracks.key)) if tracks.song[track] != tracks.song[query]]
    return sorted(others, key=lambda track: -float(np.dot(tracks.mean[query], tracks.mean[track])))


def test_nearest_are_of_other_songs_in_order() -> None:
    tracks = made_up()
    for query in range(40):
        found = nearest(tracks, query)
        assert [track for track, _ in found] == by_hand(tracks, query)[:5]
        assert all(cosine == pytest.approx(tracks.mean[query] @ tracks.mean[track]) for track, cosine in found)


def test_fewer_songs_have_fewer_neighbours() -> None:
    assert len(nearest(made_up(count=4), 0)) == 2
    assert nearest(made_up(count=2), 0) == []
    assert count_sharing(made_up(count=2), 0) is None


def test_sharing_is_what_counting_by_hand_gives() -> None:
    tracks = made_up()
    near, chance = [], []
    for query in np.flatnonzero(tracks.labels.any(axis=1)).tolist():
        common = [int((tracks.labels[query] & tracks.labels[track]).sum()) for track in by_hand(tracks, query)]
        near.append([np.mean(np.array(common[:5]) > 0), np.mean(common[:5])])
        chance.append([np.mean(np.array(common) > 0), np.mean(common)])
    counted = count_sharing(tracks, 0)
    assert counted is not None
    assert counted.queries == len(near) < 40
    assert [counted.near, counted.near_labels] == pytest.approx(np.mean(near, axis=0))
    assert [counted.chance, counted.chance_labels] == pytest.approx(np.mean(chance, axis=0))


def test_queries_are_labelled_tracks_of_different_songs_and_the_same_whatever_the_order() -> None:
    tracks = made_up()
    chosen = choose_queries(tracks, 0)
    assert len(set(tracks.song[chosen])) == 5
    assert tracks.labels[chosen].any(axis=1).all()
    assert set(choose_queries(tracks, 1)) != set(chosen)
    turned = SplitTracks(
        mean=tracks.mean[::-1],
        labels=tracks.labels[::-1],
        key=tracks.key[::-1],
        song=tracks.song[::-1],
        vocabulary=tracks.vocabulary,
        shards=None,
        sample_rate=8000,
        encoder="made up",
    )
    assert tracks.key[chosen].tolist() == turned.key[choose_queries(turned, 0)].tolist()


def test_a_track_is_the_mean_of_its_windows(tmp_path: Path) -> None:
    folder = write_dump(tmp_path / "features", None, hostile_songs())
    matrix = np.load(folder / "features.npy")
    matrix[0], matrix[1] = (3, 0), (0, 4)
    np.save(folder / "features.npy", matrix)
    assert read_test_tracks(folder).mean[0] == pytest.approx([0.6, 0.8])
    matrix[5] = np.nan
    np.save(folder / "features.npy", matrix)
    with pytest.raises(FeatureError, match="not all finite"):
        read_test_tracks(folder)
