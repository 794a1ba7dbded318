"""Levels: what a plain loop and sox say of every half second, in every shard a build can make."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharding.build import build
from sharding.datasets.catalog import Probe, Recording
from sharding.format import open_shards
from sharding.levels import level_counts, level_frames, measure_levels
from sharding.plan import BuildSettings, PlannedShard
from sharding.receipt import read_receipt
from sharding.storage import LocalPlace
from sharding.write import ShardJob, write_shard
from tests.sharding.conftest import make_music, write_audio
from tests.sharding.refusals import wav

Pcm = npt.NDArray[np.int16]


def slowly(pcm: Pcm, sample_rate: int) -> bytes:
    """Half second after half second, sample after sample."""
    levels = []
    for begin in range(0, len(pcm), sample_rate // 2):
        block = [int(sample) / 32768 for sample in pcm[begin : begin + sample_rate // 2]]
        power = math.fsum(sample * sample for sample in block) / len(block)
        levels.append(min(255, max(0, round(-20 * math.log10(power)))) if power else 255)
    return bytes(levels)


@given(
    pcm=arrays(np.int16, st.integers(0, 60), elements=st.integers(-32768, 32767)),
    scale=st.sampled_from([1, 7, 100, 5000, 40000]),
    sample_rate=st.sampled_from([2, 3, 10, 11]),
)
def test_levels_are_what_a_plain_loop_gives(pcm: Pcm, scale: int, sample_rate: int) -> None:
    pcm = pcm // np.int16(min(scale, 32767))
    levels = measure_levels(pcm, sample_rate)
    assert levels == slowly(pcm, sample_rate)
    assert len(levels) == level_counts(np.array([len(pcm)]), sample_rate)[0]


@given(blocks=st.integers(0, 40), rest=st.integers(0, 99), cut=st.integers(0, 40), seed=st.integers(0, 99))
def test_parts_of_whole_blocks_have_the_levels_of_the_whole(blocks: int, rest: int, cut: int, seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-32768, 32768, blocks * 100 + rest).astype(np.int16)
    at = min(cut, blocks) * level_frames(200)
    assert measure_levels(pcm[:at], 200) + measure_levels(pcm[at:], 200) == measure_levels(pcm, 200)


@pytest.mark.parametrize(
    ("pcm", "level"),
    [
        (np.full(4000, -32768), 0),
        (np.full(4000, 0), 255),
        (np.rint(32767 * np.sin(np.arange(4000))), 6),  # a sine of full scale: -3.01 dB
        (np.rint(327.67 * np.sin(np.arange(4000))), 86),  # 40 dB less
        (np.eye(1, 4000)[0], 253),  # one sample of 1: -126.3 dB
        (np.eye(1, 4001)[0], 255),  # the same, followed by a block of one zero
    ],
)
def test_known_levels(pcm: npt.NDArray[np.float64], level: int) -> None:
    assert measure_levels(pcm.astype(np.int16), 8000)[-1] == level


@pytest.mark.needs("sox")
def test_levels_are_those_of_sox(tmp_path: Path) -> None:
    rate = 22050
    loudness = np.repeat([0.9, 0.1, 0.03, 0.5], rate // 2)
    pcm = np.rint(32767 * loudness * make_music(2.0, rate, 1)[: len(loudness), 0]).astype(np.int16)
    (tmp_path / "clip.wav").write_bytes(wav(pcm, rate))
    for block, level in enumerate(measure_levels(pcm, rate)):
        begin, frames = block * (rate // 2), rate // 2
        command = ["sox", str(tmp_path / "clip.wav"), "-n", "trim", f"{begin}s", f"{frames}s", "stat"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"RMS +amplitude: +([0-9.]+)", done.stderr)
        assert found is not None
        assert abs(level / 2 + 20 * math.log10(float(found[1]))) <= 0.25 + 0.01  # sox prints 6 decimals


def check_levels(root: Path) -> int:
    """Compare every track's levels with its samples in the tar; returns the tracks."""
    shards = open_shards(root)
    rows = shards.index.to_pylist()
    for row in rows:
        if row["status"] == "skipped":
            assert row["levels"] is None
            continue
        data = (root / row["shard"]).read_bytes()[row["pcm_offset"] :][: 2 * row["frames"]]
        assert row["levels"] == slowly(np.frombuffer(data, "<i2"), shards.manifest.sample_rate)
    return len(rows)


def test_levels_of_built_shards(shards: Path) -> None:
    assert check_levels(shards) == 14


def test_levels_of_tracks_copied_from_an_earlier_version_of_their_shard(tmp_path: Path) -> None:
    source, settings = tmp_path / "source", BuildSettings("folder", sample_rate=8000)
    for number in range(4):
        write_audio(source / f"{number}.wav", make_music(3.0 + number, 8000, 1, number), 8000)
    broken = source / "2.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:1000])
    report = build(source, tmp_path / "shards", settings, jobs=1)
    assert report.manifest is not None
    assert report.manifest.written == 3
    broken.write_bytes(whole)
    build(source, tmp_path / "shards", settings, jobs=1, retry_failed=True)
    assert check_levels(tmp_path / "shards") == 4
    build(source, tmp_path / "fresh", settings, jobs=2)

    def by_key(root: Path) -> dict[str, bytes]:
        return {row["key"]: row["levels"] for row in open_shards(root).index.to_pylist()}

    assert by_key(tmp_path / "shards") == by_key(tmp_path / "fresh")


def test_levels_of_a_song_joined_from_clips_go_across_the_joint(tmp_path: Path) -> None:
    rate = 16000
    clips = [np.full(frames, value, np.int16) for frames, value in ((45_000, 3277), (44_000, 328))]
    for number, clip in enumerate(clips):
        (tmp_path / f"{number}.wav").write_bytes(wav(clip, rate))
    song = Recording("song", "song", "train", (), ("0.wav", "1.wav"))
    shard = PlannedShard("train", 0, (song,), (Probe(5.5, 1),), (5.5,))
    root = LocalPlace(tmp_path / "shards")
    settings = BuildSettings("folder", sample_rate=rate)
    write_shard(ShardJob(LocalPlace(tmp_path), root, shard, settings, {}), lambda _: None)
    (row,) = read_receipt(root, "train/000000.parquet").rows.to_pylist()
    # 5 half seconds at -20 dB; one with 5,000 samples of 8,000 at -20 dB, so -22.0 dB in all; 5 1/8 at -40 dB.
    assert list(row["levels"]) == [40] * 5 + [44] + [80] * 6
    assert row["levels"] == slowly(np.concatenate(clips), rate)
