"""train/embed.py --audio: the features of shards without shards, whole or not there, whatever the files are.

And of shards with ``--hop``, for which those of files are the reference.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from clmr.errors import FeatureError
from sharding.__main__ import cli as sharding_cli
from sharding.datasets.tree import make_key
from tests.train.embedding.forked_embeddings import DIE_AT
from tests.train.launching import run
from train.embed import main
from train.features import open_features

pytestmark = pytest.mark.needs("ffmpeg")

BROKEN_OFF = ("--hop", "0.5", "--batch-size", "7")
SKIPPED = {
    "truncated": ["broken.flac"],
    "empty": ["empty.mp3"],
    "undecodable": ["no audio.mp3"],
    "missing": ["nowhere.mp3"],
    "too_short": ["short.wav"],
    "silent": ["silent.wav"],
}


def embed(weights: Path, source: Path, out: Path, *options: str, of: str = "--audio") -> None:
    arguments = ["--checkpoint", str(weights), of, str(source), "--out", str(out), "--threads", "1"]
    main.main([*arguments, "--device", "cpu", *options], standalone_mode=False)


def names_of(out: Path) -> list[str]:
    names: list[str] = pq.read_table(out / "tracks.parquet")["key"].to_pylist()
    return names


def times_of(out: Path) -> list[float]:
    times: list[float] = pq.read_table(out / "windows.parquet")["time"].to_pylist()
    return times


@pytest.fixture(scope="module")
def timeline(folder: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, a window every half second."""
    out = tmp_path_factory.mktemp("timeline") / "dump"
    embed(weights, folder, out, "--hop", "0.5")
    return out


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as shards."""
    out = tmp_path_factory.mktemp("sharded") / "shards"
    build = ["build", "folder", "--source", str(folder), "--out", str(out), "--jobs", "1"]
    sharding_cli.main([*build, "--sample-rate", "8000"], standalone_mode=False)
    return out


@pytest.fixture(scope="module")
def timeline_of_shards(shards: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards, a window every half second."""
    out = tmp_path_factory.mktemp("timeline_of_shards") / "dump"
    embed(weights, shards, out, "--hop", "0.5", of="--shards")
    return out


@pytest.fixture(scope="module")
def ended(folder: Path, shards: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dumps of forked_embeddings.py, and how each ended in a file NAME.status."""
    out = tmp_path_factory.mktemp("ended")
    module = [sys.executable, "-m", "tests.train.embedding.forked_embeddings"]
    # A folder below the working folder of the ranks, which is the repository's.
    done = run([*module, os.path.relpath(folder), str(shards), str(weights), str(out), *BROKEN_OFF])
    for line in done.stdout.splitlines():
        name, _, status = line.partition(" ")
        if (out / name).is_dir():
            (out / f"{name}.status").write_text(status)
    return out


@pytest.mark.parametrize(
    ("hop", "count"),
    [
        ((), 3),
        (("--hop", "0.7"), 10),  # 6.408 s lie behind the first window
        (("--hop", "3.2"), 3),
        (("--hop", "9"), 1),
    ],
)
def test_files_have_the_features_of_their_shards(
    folder: Path, shards: Path, weights: Path, tmp_path: Path, hop: tuple[str, ...], count: int
) -> None:
    embed(weights, shards, tmp_path / "of_shards", *hop, "--batch-size", "5", of="--shards")
    embed(weights, folder, tmp_path / "of_files", *hop)
    expected, found = open_features(tmp_path / "of_shards"), open_features(tmp_path / "of_files")
    keys, names = names_of(tmp_path / "of_shards"), names_of(tmp_path / "of_files")
    assert {make_key(name) for name in names} == set(keys)
    assert found.origin["hop_frames"] == expected.origin["hop_frames"]
    assert times_of(tmp_path / "of_files") == times_of(tmp_path / "of_shards")
    for number, name in enumerate(names):
        other = keys.index(make_key(name))
        assert found.windows[number] == expected.windows[other] == count
        ours, theirs = (
            dump.matrix[dump.first[row] : dump.first[row] + count] for dump, row in ((found, number), (expected, other))
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    index = pq.read_table(shards / "index.parquet", columns=["source", "reason"]).to_pylist()
    left_out = {reason: [row["source"] for row in index if row["reason"] == reason] for reason in SKIPPED}
    assert found.origin["skipped"] == left_out == SKIPPED


def test_a_timeline(folder: Path, timeline: Path) -> None:
    dump, windows = open_features(timeline), pq.read_table(timeline / "windows.parquet").to_pydict()
    assert dump.matrix.shape == (7 * 13, 16)  # (9 s - 2.592 s) / 0.5 s + 1
    assert dump.origin["hop_frames"] == 4000
    assert dump.origin["attempted"] == 13
    assert windows["path"] == [name for name in names_of(timeline) for _ in range(13)]
    assert windows["time"] == [0.5 * number for _ in range(7) for number in range(13)]
    assert np.isfinite(dump.matrix).all()
    twins = [names_of(timeline).index(f"disc {disc}/söng.wav") for disc in (2, 3)]
    first, second = (dump.matrix[dump.first[number] : dump.first[number] + 13] for number in twins)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    assert first.std(axis=0).max() > 0
    assert not list(timeline.glob(".audio*"))


def test_one_parquet_for_other_programs(folder: Path, weights: Path, timeline: Path, tmp_path: Path) -> None:
    embed(weights, folder, tmp_path, "--hop", "0.5", "--batch-size", "1")
    embed(weights, folder, tmp_path, "--hop", "0.5", "--format", "parquet")
    table, windows = pq.read_table(tmp_path / "features.parquet"), pq.read_table(timeline / "windows.parquet")
    assert table.select(["path", "time"]).equals(windows)
    matrix = np.stack(table["embedding"].to_numpy())
    np.testing.assert_array_equal(matrix, open_features(timeline).matrix)
    assert not (tmp_path / "features.npy").exists()
    with pytest.raises(FeatureError, match="--format npy"):
        open_features(tmp_path)


def test_a_file_that_breaks_leaves_no_row(folder: Path, weights: Path, timeline: Path, tmp_path: Path) -> None:
    """Whether its rows are on the disk already (a window a batch) or in a batch with those of others."""
    embed(weights, folder, tmp_path, "--hop", "0.5", "--batch-size", "1")
    assert names_of(tmp_path) == names_of(timeline)
    np.testing.assert_allclose(open_features(tmp_path).matrix, open_features(timeline).matrix, rtol=1e-4, atol=1e-5)


def test_two_processes_write_the_same_dump(ended: Path, folder: Path, timeline: Path) -> None:
    assert (ended / "two.status").read_text() == "0 0"
    two, one = open_features(ended / "two"), open_features(timeline)
    assert {**two.origin, "audio": str(folder)} == one.origin
    np.testing.assert_allclose(two.matrix, one.matrix, rtol=1e-4, atol=1e-5)
    for name in ("tracks.parquet", "windows.parquet"):
        assert (ended / "two" / name).read_bytes() == (timeline / name).read_bytes()
    assert not list((ended / "two").glob(".audio*"))


@pytest.mark.parametrize(("name", "status"), [("killed", "-9"), ("interrupted", "130")])
def test_the_same_command_goes_on(
    ended: Path, folder: Path, weights: Path, timeline: Path, capfd: pytest.CaptureFixture[str], name: str, status: str
) -> None:
    out = ended / name
    assert (ended / f"{name}.status").read_text() == status
    with pytest.raises(FeatureError, match="did not end"):
        open_features(out)
    embed(weights, folder, out, *BROKEN_OFF)
    assert f"going on behind the first {DIE_AT} files" in capfd.readouterr().err
    np.testing.assert_allclose(open_features(out).matrix, open_features(timeline).matrix, rtol=1e-4, atol=1e-5)
    assert (out / "tracks.parquet").read_bytes() == (timeline / "tracks.parquet").read_bytes()


def test_two_processes_share_the_windows_of_shards(ended: Path, timeline_of_shards: Path) -> None:
    assert (ended / "two_shards.status").read_text() == "0 0"
    two, one = open_features(ended / "two_shards"), open_features(timeline_of_shards)
    assert two.origin == one.origin
    np.testing.assert_allclose(two.matrix, one.matrix, rtol=1e-4, atol=1e-5)
    for name in ("tracks.parquet", "windows.parquet"):
        assert (ended / "two_shards" / name).read_bytes() == (timeline_of_shards / name).read_bytes()


def test_shards_begin_anew_after_a_kill(ended: Path, shards: Path, weights: Path, timeline_of_shards: Path) -> None:
    """So another hop needs no other folder."""
    out = ended / "killed_shards"
    assert (ended / "killed_shards.status").read_text() == "-9"
    with pytest.raises(FeatureError, match="did not end"):
        open_features(out)
    embed(weights, shards, out, "--hop", "1", of="--shards")
    found, half = open_features(out), open_features(timeline_of_shards)
    assert found.origin["hop_frames"] == 2 * half.origin["hop_frames"] == 8000
    assert found.windows.tolist() == [7] * 7
    every_second = half.matrix.reshape(7, 13, 16)[:, ::2]
    np.testing.assert_allclose(found.matrix.reshape(7, 7, 16), every_second, rtol=1e-4, atol=1e-5)
    assert not list(out.glob(".features*"))


def test_no_file_of_use(folder: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        embed(weights, folder / "short.wav", tmp_path / "out")
    assert stopped.value.code == 1
    assert "no file could be used: 1 too_short (less than a window of 2.592 s): short.wav" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --shards or --audio, one of the two"),
        (["--shards", "a", "--audio", "b"], "give --shards or --audio, one of the two"),
        (["--audio", "/nowhere"], "--audio /nowhere does not exist"),
    ],
)
def test_mistakes_get_one_line(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main(["--checkpoint", str(weights), "--out", str(tmp_path / "out"), *options], standalone_mode=False)
    assert stopped.value.code == 1
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
