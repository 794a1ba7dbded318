"""Which tracks and windows the probe takes, on which scale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from clmr.errors import ConfigError, FeatureError
from tests.train.made_up_features import rewrite, rows_of, write_features
from train.features import open_features
from train.probing.settings import PRESETS, ProbeSettings
from train.probing.splits import load_data
from train.probing.subsets import nested_subset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("splits") / "features", signal=1.0, unseen_tag=True)


def test_every_window_in_order(folder: Path) -> None:
    dump = open_features(folder)
    data = load_data(folder, ProbeSettings(standardise=False))
    for name, split in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        matrix, labels, owner = dump.of(name)
        assert np.array_equal(split.features.numpy(), matrix)
        assert np.array_equal(split.labels, labels)
        assert np.array_equal(split.owner, owner)
    assert data.test.keys[0] == "track-90"


def test_the_training_windows_set_the_scale(folder: Path) -> None:
    raw, scaled = (load_data(folder, ProbeSettings(standardise=on)) for on in (False, True))
    mean, deviation = raw.train.features.mean(0), raw.train.features.std(0)
    torch.testing.assert_close(scaled.train.features.mean(0), torch.zeros(8), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.test.features, (raw.test.features - mean) / deviation)


def test_a_share_of_the_training_songs_only(folder: Path) -> None:
    some = load_data(folder, ProbeSettings(label_fraction=0.2, subset_seed=3))
    songs = [row["song_id"] for row in rows_of(folder)[:60]]
    kept = np.flatnonzero(nested_subset(songs, 0.2, 3))
    assert some.train.keys.tolist() == [f"track-{track}" for track in kept]
    assert (some.train.protocol["songs"], some.train.protocol["songs_in_all"]) == (6, 30)
    assert (len(some.valid.keys), len(some.test.keys)) == (30, 30)
    # One song has a scale as well.
    assert load_data(folder, ProbeSettings(label_fraction=1e-9)).train.features.isfinite().all()


def test_untagged_tracks_may_be_left_out(folder: Path) -> None:
    kept, dropped = (load_data(folder, ProbeSettings(untagged=choice)) for choice in ("keep", "drop"))
    for all_tracks, tagged in ((kept.train, dropped.train), (kept.valid, dropped.valid), (kept.test, dropped.test)):
        with_labels = all_tracks.labels.sum(axis=1) > 0
        assert 0 < with_labels.sum() < len(with_labels)
        assert np.array_equal(tagged.keys, all_tracks.keys[with_labels])
        assert all_tracks.protocol["untagged"] == tagged.protocol["untagged"] == (~with_labels).sum()


def test_the_official_code_drops_a_whole_last_window(folder: Path) -> None:
    kept, official = (load_data(folder, ProbeSettings(last_window=choice)) for choice in ("keep", "official"))
    assert torch.equal(kept.train.features, official.train.features)
    before, after = np.bincount(kept.test.owner), np.bincount(official.test.owner)
    whole = [row["frames"] == 100 * row["windows"] for row in rows_of(folder)[90:]]
    assert any(whole)
    assert np.array_equal(before - after, whole)
    assert official.test.protocol["last_windows_dropped"] == sum(whole)
    last = np.cumsum(before)[whole] - 1
    assert torch.equal(official.test.features, kept.test.features[np.setdiff1d(np.arange(len(kept.test.owner)), last)])


def test_what_the_official_code_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    rows = rows_of(folder)
    short = next(number for number in range(90, 120) if rows[number]["windows"] == 1)
    rows[short]["frames"] = 100
    rewrite(folder, rows)
    with pytest.raises(FeatureError, match=f"track-{short} is one window long.*--last-window keep"):
        load_data(folder, PRESETS["official"])
    table = pq.read_table(folder / "tracks.parquet")
    pq.write_table(table.drop_columns("frames"), folder / "tracks.parquet")
    with pytest.raises(FeatureError, match=r"how long the tracks are.*run train/embed.py again"):
        load_data(folder, PRESETS["official"])
    load_data(folder, replace(PRESETS["official"], last_window="keep"))


def test_overlapping_windows_are_not_the_official_codes(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", signal=1.0)
    path = folder / "features.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "hop_frames": 50}), encoding="utf-8")
    with pytest.raises(FeatureError, match=r"windows overlap.*--last-window keep"):
        load_data(folder, PRESETS["official"])


def test_the_mean_feature_of_a_track(folder: Path) -> None:
    windows, tracks = (load_data(folder, ProbeSettings(aggregation=way)) for way in ("probability", "feature"))
    assert len(tracks.train.features) == 60
    raw = load_data(folder, ProbeSettings(standardise=False)).test
    mean = np.stack([raw.features[raw.owner == track].numpy().mean(0) for track in range(30)])
    bare = load_data(folder, ProbeSettings(aggregation="feature", standardise=False))
    np.testing.assert_allclose(bare.test.features.numpy(), mean, rtol=1e-5, atol=1e-6)
    assert windows.test.protocol["windows"] == tracks.test.protocol["windows"], "windows that were averaged"


def test_one_window_of_each_track_is_drawn(folder: Path) -> None:
    train = load_data(folder, ProbeSettings()).train
    drawn = [train.one_window(seed) for seed in range(40)]
    for split in drawn:
        assert np.array_equal(split.owner, np.arange(60))
        assert np.array_equal(split.labels, train.labels)
    for track in range(0, 60, 7):
        own = {tuple(row) for row in train.features[train.owner == track].tolist()}
        assert {tuple(split.features[track].tolist()) for split in drawn} == own, "each window, sooner or later"
    assert torch.equal(drawn[3].features, train.one_window(3).features)


def test_one_label_per_track_makes_classes(tmp_path: Path, folder: Path) -> None:
    single = write_features(tmp_path / "features", signal=1.0, classes=True)
    assert load_data(single, ProbeSettings()).task == "classes"
    assert load_data(single, ProbeSettings(task="tags")).task == "tags"
    assert load_data(folder, ProbeSettings()).task == "tags"
    with pytest.raises(ConfigError, match="do not have exactly one label"):
        load_data(folder, ProbeSettings(task="classes"))
    rows = rows_of(single)
    rows[-1]["labels"] = ["a", "b"]
    rewrite(single, rows)
    with pytest.raises(ConfigError, match=r"1 tracks of the test split.*--task tags"):
        load_data(single, ProbeSettings())
