"""Samples that cannot be used are counted and made up for; damaged shards are named."""

from __future__ import annotations

import json
import logging
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from clmr.errors import ShardError
from loaders.tars.samples import MOST_IN_A_ROW, Losses, UnusableError, open_sample, track_number
from sharding.members import wav_header
from tests.loaders.small_shards import CROP, WriteShards, recordings
from tests.loaders.tars.test_webdataset import (
    BATCH,
    Change,
    Members,
    content,
    described,
    joined,
    open_pairs,
    read,
    take,
)

RATE = 8000


def sample(wav: bytes, fields: object = None) -> dict[str, str | bytes]:
    """A sample as webdataset gives it."""
    return {"__key__": "a", "wav": wav, "json": json.dumps({"song_id": "s"} if fields is None else fields).encode()}


def wav(frames: int, rate: int = RATE) -> bytes:
    """A WAV file of silence."""
    return wav_header(frames, rate) + bytes(2 * frames)


def test_a_sample_gives_a_track() -> None:
    track = open_sample(sample(wav(CROP)), RATE, CROP)
    assert (track.number, track.song, len(track.pcm)) == (track_number("a"), "s", CROP)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"__key__": "a", "json": b"{}"}, "no wav member"),
        ({"__key__": "a", "wav": wav(CROP)}, "no json member"),
        (sample(wav(CROP), {"song": "s"}), "no song_id in the json member"),
        (sample(wav(CROP), ["song_id"]), "no song_id in the json member"),
        (sample(wav(CROP), {"song_id": 7}), "no song_id in the json member"),
        ({"__key__": "a", "wav": wav(CROP), "json": b"\xff{"}, "no song_id in the json member"),
        (sample(wav(CROP)[:43]), "no WAV header"),
        (sample(b"fLaC" + wav(CROP)[4:]), "no WAV header of 44 bytes"),
        (sample(wav(CROP, 16000)), "not mono int16 PCM at 8000 Hz"),
        (sample(wav(CROP)[:-2]), "the WAV header names another length"),
        (sample(wav(CROP - 1)), "shorter than a crop"),
    ],
)
def test_a_sample_that_cannot_be_used_says_why(bad: dict[str, str | bytes], reason: str) -> None:
    with pytest.raises(UnusableError, match=f"^{reason}$"):
        open_sample(bad, RATE, CROP)


def test_one_in_a_hundred_may_be_lost_and_no_more() -> None:
    counted: Counter[str] = Counter()
    losses = Losses(1000, counted, told=False)
    for number in range(10):
        losses.add("a.tar", f"k{number}", "shorter than a crop")
        losses.used()
    with pytest.raises(
        ShardError, match=r"a\.tar: k10 is one of 11 .* \(10 x shorter than a crop, 1 x no wav member\)"
    ):
        losses.add("a.tar", "k10", "no wav member")
    assert counted == {"shorter than a crop": 10, "no wav member": 1}


def test_a_hundred_in_a_row_are_too_many() -> None:
    losses = Losses(1_000_000, Counter(), told=False)
    for number in range(MOST_IN_A_ROW - 1):
        losses.add("a.tar", str(number), "no wav member")
    losses.used()
    for number in range(MOST_IN_A_ROW - 1):
        losses.add("a.tar", str(number), "no wav member")
    with pytest.raises(ShardError, match="in a row"):
        losses.add("a.tar", "last", "no wav member")


def lose(*keys: str) -> Change:
    """Take the sound away from some keys."""

    def change(key: str, members: Members) -> Members:
        return {**members, "wav": members["wav"][:100]} if key in keys else members

    return change


def test_equal_steps_survive_a_lost_sample(make_shards: WriteShards, caplog: pytest.LogCaptureFixture) -> None:
    shards = described(make_shards(recordings(40)), lose("train-00010"))
    with caplog.at_level(logging.WARNING):
        pairs = open_pairs(shards)
        whole = take(pairs, 6)[:5]  # the next epoch has begun, so this one is accounted for
    assert set(pairs.unusable) == {"the WAV header names another length"}
    assert pairs.repeated == 1
    used = Counter(number for batch in whole for number in batch.track.tolist())
    assert track_number("train-00010") not in used
    assert sorted(used.values()) == [1] * 38 + [2]
    keys = torch.cat([batch.keys for batch in whole]).reshape(-1)
    assert len(keys.unique()) == 80  # the second pair of a track is another one
    assert "train-00010 cannot be used and is made up for by other tracks" in caplog.text
    assert "epoch 0 was filled with a second pair of 1 tracks" in caplog.text
    parts = [read(shards, 5, rank=rank, world_size=4) for rank in range(4)]
    assert content(joined(parts)) == content(whole)


def test_only_the_first_rank_tells(make_shards: WriteShards, caplog: pytest.LogCaptureFixture) -> None:
    shards = described(make_shards(recordings(40)), lose("train-00010"))
    with caplog.at_level(logging.WARNING):
        read(shards, 5, rank=1, world_size=2)
    assert not caplog.text


def test_too_many_lost_samples_end_the_run(make_shards: WriteShards) -> None:
    shards = described(make_shards(recordings(40)), lose("train-00010", "train-00013"))
    with pytest.raises(ShardError, match=r"train/000001\.tar: train-000\d\d is one of 2 samples that cannot be used"):
        read(shards, 5)


@pytest.fixture
def streamed(make_shards: WriteShards) -> Path:
    """40 tracks in 6 shards."""
    return described(make_shards(recordings(40)))


def test_a_missing_shard_is_named(streamed: Path) -> None:
    (streamed / "train/000003.tar").unlink()
    with pytest.raises(ShardError, match=r"train/000003\.tar is missing"):
        read(streamed, 5)


def test_a_shard_of_another_size_is_named(streamed: Path) -> None:
    path = streamed / "train/000003.tar"
    size = path.stat().st_size
    os.truncate(path, size - 512)
    with pytest.raises(ShardError, match=rf"train/000003\.tar has {size - 512} bytes, not {size}"):
        read(streamed, 5)


def test_a_shard_replaced_between_epochs_is_named(streamed: Path) -> None:
    pairs = open_pairs(streamed)
    take(pairs, 5)
    path = streamed / "train/000003.tar"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(ShardError, match=r"train/000003\.tar was replaced while in use"):
        take(pairs, 5, 1)


def test_a_shard_that_is_no_tar_is_named(streamed: Path) -> None:
    path = streamed / "train/000003.tar"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ShardError, match=r"train/000003\.tar cannot be read as a tar \(.*\): copy or build it again"):
        read(streamed, 5)


@pytest.mark.parametrize("member", [1, 2, 5])
def test_a_tar_that_seems_to_end_early_is_named(streamed: Path, member: int) -> None:
    """A tar reader takes a damaged header for the end of the archive."""
    path = streamed / "train/000003.tar"
    with tarfile.open(path) as tar:
        offset = tar.getmembers()[member].offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 512)
    with pytest.raises(ShardError, match=rf"000003\.tar holds {(member + 1) // 2} samples .* manifest\.json says 7"):
        read(streamed, 5)


def test_a_shard_with_more_samples_than_the_manifest_says_is_named(streamed: Path) -> None:
    manifest = json.loads((streamed / "manifest.json").read_text())
    manifest["splits"]["train"][3]["tracks"] = 6
    manifest["splits"]["train"][0]["tracks"] = 8
    (streamed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardError, match=r"tar holds 7 samples .* manifest\.json says [68]"):
        read(streamed, 5, batch_size=BATCH)


def test_a_name_that_comes_twice_is_damage(streamed: Path) -> None:
    path = streamed / "train/000003.tar"
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        first, second = tar.getmembers()[0], tar.getmembers()[1]
        second.name = first.name
        data[second.offset : second.offset + 512] = second.tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(data)
    with pytest.raises(
        ShardError, match=r"000003\.tar cannot be read as a tar \(train-00021\.wav: duplicate file name"
    ):
        read(streamed, 5)
