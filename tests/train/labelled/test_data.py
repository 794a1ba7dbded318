"""Which windows a supervised run sees, in which order, and what its labels are taken for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clmr.errors import ConfigError
from loaders import WindowBatch
from tests.loaders.small_shards import recordings, write_shards
from train.labelled.data import LabelledSplits, ShuffledWindows, choose_task
from train.labelled.settings import SupervisedSettings
from train.probing.subsets import nested_subset
from train.ranks.launch import Place

CROP = 20736  # samples, the encoder's at 8 kHz
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine train tracks of one to three windows in five songs, three of each other split, each with one label."""
    tracks = recordings(9, per_song=2, shortest=CROP, longest=4 * CROP)
    tracks += recordings(3, shortest=CROP, longest=CROP, split="valid")
    tracks += recordings(3, shortest=CROP, longest=CROP, split="test")
    return write_shards(tmp_path_factory.mktemp("noise"), tracks, labels=("soft", "loud"))


def settings(shards: Path, **changes: object) -> SupervisedSettings:
    return replace(SupervisedSettings(shards=str(shards), batch_size=4, seed=3), **changes)  # type: ignore[arg-type]  # a test's table of settings


def seen(batches: list[WindowBatch]) -> list[tuple[int, int]]:
    return [window for batch in batches for window in zip(batch.track.tolist(), batch.window.tolist(), strict=True)]


def test_every_whole_window_once_in_another_order_each_epoch(noise: Path) -> None:
    with ShuffledWindows(settings(noise), Place(0, 1, CPU)) as windows:
        first, second = list(windows.epoch(0)), list(windows.epoch(1))
        tracks = enumerate(windows.windows_per_track.tolist())
        everything = [(track, window) for track, count in tracks for window in range(count)]
    assert sorted(seen(first)) == sorted(seen(second)) == everything
    assert seen(first) != seen(second)
    assert seen(first) != everything
    sizes = [len(batch.track) for batch in first]
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1


def test_samples_and_labels_are_the_windows_own(noise: Path) -> None:
    pcm = {
        track: recording.pcm
        for track, recording in enumerate(recordings(9, per_song=2, shortest=CROP, longest=4 * CROP))
    }
    with ShuffledWindows(settings(noise), Place(0, 1, CPU)) as windows:
        for batch in windows.epoch(0):
            for row, (track, window) in enumerate(seen([batch])):
                assert np.array_equal(batch.pcm[row].numpy(), pcm[track][window * CROP : (window + 1) * CROP])
                assert batch.labels[row].tolist() == [track % 2 == 0, track % 2 == 1]


def test_ranks_share_the_batches_of_one(noise: Path) -> None:
    with ShuffledWindows(settings(noise), Place(0, 1, CPU)) as windows:
        alone = [seen([batch]) for batch in windows.epoch(2)]
        rows = [windows.rows(step) for step in range(len(windows))]
    shares = []
    for rank in range(3):
        with ShuffledWindows(settings(noise), Place(rank, 3, CPU)) as windows:
            shares.append([seen([batch]) for batch in windows.epoch(2)])
    assert [sum(parts, []) for parts in zip(*shares, strict=True)] == alone  # noqa: RUF017 - three short lists
    assert [len(batch) for batch in alone] == rows


def test_an_epoch_goes_on_in_its_middle(noise: Path) -> None:
    with ShuffledWindows(settings(noise), Place(0, 1, CPU)) as windows:
        assert seen(list(windows.epoch(1, 2))) == seen(list(windows.epoch(1))[2:])


def test_a_share_of_the_songs(noise: Path) -> None:
    """The least share is a song; songs are whole."""
    with ShuffledWindows(settings(noise, label_fraction=0.01), Place(0, 1, CPU)) as windows:
        assert len(set(windows.tracks.song[windows.used])) == 1
        used = {track for track, _ in seen(list(windows.epoch(0)))}
        assert used == set(windows.tracks.row[windows.used].tolist())
        assert windows.used.sum() == np.isin(windows.tracks.song, windows.tracks.song[windows.used]).sum()


def test_the_songs_of_a_share_follow_from_a_seed_of_their_own(noise: Path) -> None:
    """Another seed of the weights, the same songs: what a mean over networks compares."""

    def used(**changes: int) -> list[bool]:
        with ShuffledWindows(settings(noise, label_fraction=0.4, **changes), Place(0, 1, CPU)) as windows:
            songs = windows.tracks.table["song_id"].to_pylist()
            expected = nested_subset(songs, 0.4, changes.get("subset_seed", changes.get("seed", 3)))
            assert np.array_equal(windows.used, expected)
            return list(map(bool, windows.used))

    assert used(seed=8, subset_seed=3) == used() == used(subset_seed=3)
    assert any(used() != used(subset_seed=seed) for seed in range(4, 8))


def test_batches_smaller_than_the_ranks_are_refused(noise: Path) -> None:
    with pytest.raises(ConfigError, match="8 processes share batches of"):
        ShuffledWindows(settings(noise), Place(0, 8, CPU))


def test_the_labels_choose_the_task(noise: Path) -> None:
    with LabelledSplits(settings(noise), Place(0, 1, CPU)) as data:
        assert data.task == "classes"
    one, several = np.eye(3, dtype=np.bool_), np.tri(3, dtype=np.bool_)
    assert choose_task("auto", [one, several]) == "tags"
    assert choose_task("tags", [one, one]) == "tags"
    assert choose_task("auto", [np.ones((3, 1), dtype=np.bool_)]) == "tags"
    with pytest.raises(ConfigError, match="2 of 6 tracks do not have exactly one label"):
        choose_task("classes", [one, several])


def test_labels_that_rank_nothing_are_refused_at_once(tmp_path: Path) -> None:
    tracks = recordings(4, shortest=CROP, longest=CROP) + recordings(1, shortest=CROP, longest=CROP, split="valid")
    shards = write_shards(
        tmp_path, [*tracks, *recordings(2, shortest=CROP, longest=CROP, split="test")], labels=("a", "b")
    )
    with pytest.raises(ConfigError, match=r"no label of .* in split valid"):
        LabelledSplits(settings(shards), Place(0, 1, CPU))
