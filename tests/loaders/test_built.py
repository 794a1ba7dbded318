"""Shards as the sharder builds them from audio files, through the loaders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from loaders import PairLoader, WindowLoader
from sharding.build import build
from sharding.format import open_shards
from sharding.plan import BuildSettings

RATE = 8000
CROP = 20736  # the encoder's at 8 kHz
TAGS = ("noise", "noise;loud", "")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Source folder and shards of 12 FLAC files of 2.6 to 8 s."""
    source = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    rows = ["path,tags,split,song_id"]
    for number in range(12):
        pcm = rng.integers(-20000, 20000, rng.integers(CROP, 3 * CROP), dtype=np.int16)
        soundfile.write(source / f"{number}.flac", pcm, RATE, subtype="PCM_16")
        rows.append(f"{number}.flac,{TAGS[number % 3]},train,song {number}")
    (source / "labels.csv").write_text("\n".join(rows) + "\n")
    shards = tmp_path_factory.mktemp("shards")
    build(source, shards, BuildSettings(dataset="folder", sample_rate=RATE, shard_size=300_000), jobs=1)
    return source, shards


def test_pairs_are_crops_of_the_files(built: tuple[Path, Path]) -> None:
    source, shards = built
    names = open_shards(shards).index["source"].to_pylist()
    assert len(list((shards / "train").glob("*.tar"))) > 1
    with PairLoader(shards, batch_size=4, sample_rate=RATE) as loader:
        batches = list(loader)
    assert len(batches) == 3
    for batch in batches:
        for pair, row in zip(batch.pcm.numpy(), batch.track.tolist(), strict=True):
            whole = soundfile.read(source / names[row], dtype="int16")[0].tobytes()
            assert all(crop.tobytes() in whole for crop in pair)


def test_windows_are_the_files_from_the_start(built: tuple[Path, Path]) -> None:
    source, shards = built
    names = open_shards(shards).index["source"].to_pylist()
    with WindowLoader(shards, batch_size=5) as loader:
        for batch in loader:
            for pcm, row, window in zip(batch.pcm, batch.track.tolist(), batch.window.tolist(), strict=True):
                whole, _ = soundfile.read(source / names[row], dtype="int16")
                np.testing.assert_array_equal(pcm.numpy(), whole[window * CROP : (window + 1) * CROP])


def test_windows_bring_the_labels_of_their_track(built: tuple[Path, Path]) -> None:
    _, shards = built
    names = open_shards(shards).index["source"].to_pylist()
    with WindowLoader(shards, batch_size=5) as loader:
        assert loader.label_names == ("loud", "noise")
        for batch in loader:
            for row, labels in zip(batch.track.tolist(), batch.labels, strict=True):
                tags = TAGS[int(Path(names[row]).stem) % 3].split(";")
                assert labels.tolist() == [name in tags for name in loader.label_names]
