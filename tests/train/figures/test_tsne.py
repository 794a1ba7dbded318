"""t-SNE: seeded, of the same tracks in every dump, and its neighbours counted where no picture can bend them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clmr.errors import ConfigError, FeatureError
from tests.train.figures.made_up import check_written, write_features
from train.features import open_features
from train.figures.tsne import Cloud, TsneSettings, draw_tsne, neighbour_share

SMALL = TsneSettings(tracks=4, windows=4, seed=3)


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    dumps = {"pretrained": write_features(tmp_path / "a"), "untrained": write_features(tmp_path / "b", spread=5)}
    first = draw_tsne(dumps, SMALL, tmp_path / "out")
    document = check_written(tmp_path / "out", "tsne")
    picture = (tmp_path / "out" / "tsne.png").read_bytes()
    assert draw_tsne(dumps, SMALL, tmp_path / "again") == first
    assert (tmp_path / "again" / "tsne.png").read_bytes() == picture
    assert len(document["rows"]) == 2 * 4 * 4
    chosen = [[row["key"] for row in document["rows"] if row["features"] == name] for name in dumps]
    assert chosen[0] == chosen[1], "the same tracks in both"
    assert document["settings"]["perplexity"] == 4, "as many as a track has windows"
    assert document["nearest_of_same_track"]["pretrained"] == 1
    assert document["nearest_by_chance"] == pytest.approx(3 / 15)
    other = draw_tsne(dumps, TsneSettings(tracks=4, windows=4, seed=4), tmp_path / "out")
    assert other.facts["tracks"] != first.facts["tracks"]


def test_nearest_neighbours_by_hand() -> None:
    features = np.array([[1, 0], [5, 0.1], [0, 1], [1, 1.5], [0, 3.0]])
    assert neighbour_share(Cloud(features, np.array([0, 0, 1, 0, 1]), ("a", "b"))) == pytest.approx(4 / 5)


def test_windows_are_those_of_the_dump(tmp_path: Path) -> None:
    dump = write_features(tmp_path / "a", tracks=3, windows=2, spread=0)
    rows = draw_tsne({"a": dump}, TsneSettings(tracks=3, perplexity=2), tmp_path / "out").rows
    assert [row["track"] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert open_features(dump).matrix.shape == (6, 8)


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    dump = write_features(tmp_path / "a")
    with pytest.raises(FeatureError, match="split 'valid' has 6 tracks of two windows or more, and 10 are wanted"):
        draw_tsne({"a": dump}, TsneSettings(), tmp_path / "out")
    with pytest.raises(ConfigError, match="--perplexity 99: from 1 to below the number of windows, which is 16"):
        draw_tsne({"a": dump}, TsneSettings(tracks=4, windows=4, perplexity=99), tmp_path / "out")
    overlapping = write_features(tmp_path / "c")
    origin = json.loads((overlapping / "features.json").read_text())
    (overlapping / "features.json").write_text(json.dumps({**origin, "hop_frames": origin["window_frames"] // 2}))
    with pytest.raises(FeatureError, match="nearest one is always of the same track"):
        draw_tsne({"c": overlapping}, SMALL, tmp_path / "out")
    other = write_features(tmp_path / "b", tracks=1)
    with pytest.raises(FeatureError, match="of the first dump is not in the others; embed the same shards"):
        draw_tsne({"a": dump, "b": other}, SMALL, tmp_path / "out")
