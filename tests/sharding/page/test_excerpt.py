"""What is heard is what the shard holds, at its place, and what is drawn encloses it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from clmr.errors import ShardError
from sharding.format import ShardSet, open_shards
from sharding.page.choice import Track, choose_tracks
from sharding.page.excerpt import LONGEST_SECONDS, encode_mp3, read_excerpt
from sharding.page.waveform import HEIGHT, envelope, waveform
from tests.sharding.page.material import RATE, Pcm, Song, tone, write_shards

LONG = tone(LONGEST_SECONDS + 7)
SHORT = tone(3)


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    return open_shards(write_shards(tmp_path / "shards", [Song("long", "l.mp3", LONG), Song("short", "s.mp3", SHORT)]))


def the_track(shards: ShardSet, key: str) -> Track:
    (track,) = [track for track in choose_tracks(shards, 2, 0) if track.key == key]
    return track


def test_a_short_track_comes_whole_and_a_long_one_from_its_middle(shards: ShardSet) -> None:
    short = read_excerpt(shards.place, the_track(shards, "short"), RATE)
    assert short.start == 0
    np.testing.assert_array_equal(short.pcm, SHORT)
    long = read_excerpt(shards.place, the_track(shards, "long"), RATE)
    assert long.start == 7 * RATE // 2
    np.testing.assert_array_equal(long.pcm, LONG[long.start : long.start + LONGEST_SECONDS * RATE])


def test_a_shard_that_ends_early_or_is_gone_is_named(shards: ShardSet) -> None:
    path = shards.root / "train/000000.tar"
    track = the_track(shards, "short")
    path.write_bytes(path.read_bytes()[: track.pcm_offset + 100])
    with pytest.raises(ShardError, match=r"000000\.tar ends within the track short"):
        read_excerpt(shards.place, track, RATE)
    path.unlink()
    with pytest.raises(ShardError, match=r"000000\.tar is missing"):
        read_excerpt(shards.place, track, RATE)


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("rate", [22050, 16000, 8000])
@pytest.mark.parametrize("pcm", [tone(2.5), tone(2.5, peak=32767), tone(2.5, peak=3)], ids=["half", "full", "faint"])
def test_ffmpeg_hears_the_same(pcm: Pcm, rate: int, tmp_path: Path) -> None:
    file = tmp_path / "excerpt.mp3"
    file.write_bytes(encode_mp3(pcm, rate))
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-f", "s16le", "-"]
    heard = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")
    assert len(heard) == len(pcm)
    error = heard.astype(np.float64) - pcm
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.abs(pcm).max() + 1


def test_an_envelope_encloses_its_columns() -> None:
    pcm = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    lowest, highest = envelope(pcm, 7)
    bounds = [round(np.floor(column * 1000 / 7)) for column in range(8)]
    for column in range(7):
        part = pcm[bounds[column] : bounds[column + 1]]
        assert (lowest[column], highest[column]) == (part.min(), part.max())
    assert all(len(side) == 5 for side in envelope(pcm[:5], 7))


@pytest.mark.parametrize("pcm", [np.zeros(5000, np.int16), np.zeros(1, np.int16), tone(1, peak=32767)])
def test_a_waveform_has_an_area_even_where_it_is_silent(pcm: Pcm) -> None:
    path = waveform(pcm, "x").split('d="M')[1].split('Z"')[0]
    points = np.array([point.split(" ") for point in path.split("L")], dtype=int)
    top, bottom = points[: len(points) // 2, 1], points[: len(points) // 2 - 1 : -1, 1]
    assert (bottom > top).all()
    assert points[:, 1].min() >= 0
    assert points[:, 1].max() <= HEIGHT
