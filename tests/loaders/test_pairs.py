"""PairLoader: the bytes, the position, and what stays the same whoever reads."""

from __future__ import annotations

import gc
import io
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from clmr.draw import make_keys, uniform_numpy
from clmr.errors import ConfigError, ShardError
from sharding.format import read_index
from sharding.storage import LocalPlace
from tests.loaders.small_shards import CROP, Recording, WriteShards, indexed, recordings
from tests.loaders.taking import BATCH, content, open_loader, take

Pcm = npt.NDArray[np.int16]


def member_pcm(shards: Path, row: int) -> Pcm:
    """A track's samples as tarfile and soundfile read them."""
    entry = read_index(LocalPlace(shards), "index.parquet")[0].slice(row, 1).to_pylist()[0]
    with tarfile.open(shards / entry["shard"]) as tar:
        file = tar.extractfile(f"{entry['key']}.wav")
        assert file is not None
        pcm, _ = soundfile.read(io.BytesIO(file.read()), dtype="int16")
    return np.asarray(pcm, dtype=np.int16)


def test_shapes_types_and_counts(shards: Path) -> None:
    with open_loader(shards) as loader:
        assert len(loader) == 40 // BATCH
        batches = list(loader)
    assert [batch.step for batch in batches] == list(range(5))
    for batch in batches:
        assert (batch.pcm.shape, batch.pcm.dtype) == ((BATCH, 2, CROP), torch.int16)
        assert (batch.keys.shape, batch.keys.dtype) == ((BATCH, 2), torch.int64)
        assert (batch.track.shape, batch.track.dtype) == ((BATCH,), torch.int64)
        assert batch.epoch == 0
    assert loader.wait_seconds > 0


def test_every_crop_equals_the_cut_from_the_wav_member(shards: Path) -> None:
    with open_loader(shards) as loader:
        batches = take(loader, 8)
    for batch in batches:
        keys = make_keys(3, batch.epoch, batch.track.numpy(), (0, 1))
        np.testing.assert_array_equal(batch.keys.numpy(), keys)
        for pair, row, key in zip(batch.pcm.numpy(), batch.track.tolist(), keys, strict=True):
            whole = member_pcm(shards, row)
            for crop, u in zip(pair, uniform_numpy(key, "crop"), strict=True):
                start = int(u * (len(whole) - CROP + 1))
                np.testing.assert_array_equal(crop, whole[start : start + CROP])


def test_crops_reach_both_ends_of_a_track(make_shards: WriteShards) -> None:
    ramp = [Recording(f"t{song}", f"s{song}", np.arange(CROP + 3, dtype=np.int16)) for song in range(4)]
    with open_loader(make_shards(ramp), batch_size=4) as loader:
        starts = torch.cat([batch.pcm[:, :, 0].reshape(-1) for batch in take(loader, 60)])
    assert starts.unique().tolist() == [0, 1, 2, 3]
    assert torch.bincount(starts.long()).min() > 80  # 120 expected, sd 9.5


def test_tracks_come_once_and_songs_differ_in_a_batch(shards: Path) -> None:
    index = pq.read_table(shards / "index.parquet")
    with open_loader(shards) as loader:
        batches = list(loader)
    rows = torch.cat([batch.track for batch in batches]).tolist()
    assert len(set(rows)) == 40
    assert {index["split"][row].as_py() for row in rows} == {"train"}
    for batch in batches:
        assert len({index["song_id"][row].as_py() for row in batch.track.tolist()}) == BATCH


@pytest.mark.parametrize("threads", [1, 3, 4])
@pytest.mark.parametrize("depth", [1, 5])
def test_threads_and_depth_change_nothing(shards: Path, threads: int, depth: int) -> None:
    with open_loader(shards) as reference, open_loader(shards, threads=threads, depth=depth) as loader:
        assert content(take(loader, 12)) == content(take(reference, 12))


def test_held_batches_never_change(shards: Path) -> None:
    with open_loader(shards) as loader:
        held = take(loader, 4)
        views = [batch.pcm[1:3, 0] for batch in held]
        copies = [view.clone() for view in views]
        del held
        take(loader, 40)
        for view, copy in zip(views, copies, strict=True):
            torch.testing.assert_close(view, copy, rtol=0, atol=0)
    for view, copy in zip(views, copies, strict=True):  # after close() too
        torch.testing.assert_close(view, copy, rtol=0, atol=0)


def test_memory_stays_flat_over_epochs(shards: Path) -> None:
    with open_loader(shards) as loader:
        for _ in range(3):
            take(loader, len(loader))
        slabs = indexed(loader)._backend._slabs.allocated
        gc.collect()
        tracemalloc.start()
        try:
            take(loader, 3)
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(400):
                take(loader, 1)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert indexed(loader)._backend._slabs.allocated == slabs
        assert grown < 100_000  # bytes; one leaked plan per batch would be five times as much


@pytest.mark.parametrize("tracks_per_shard", [1, 40, 1000])
def test_any_number_of_shards(make_shards: WriteShards, tracks_per_shard: int) -> None:
    tracks = recordings(40)
    with open_loader(make_shards(tracks)) as loader:
        reference = content(take(loader, 7))
    with open_loader(make_shards(tracks, tracks_per_shard=tracks_per_shard)) as loader:
        assert content(take(loader, 7)) == reference


def test_one_shard_feeds_eight_ranks(make_shards: WriteShards) -> None:
    shards = make_shards(recordings(24), tracks_per_shard=100)
    tracks = []
    for rank in range(8):
        with open_loader(shards, rank=rank, world_size=8) as loader:
            tracks += [batch.track for batch in loader]
            assert len(tracks[-1]) == 1
    assert len(torch.cat(tracks).unique()) == 24


def test_a_track_shorter_than_the_crop_is_named(make_shards: WriteShards) -> None:
    tracks = [*recordings(20), Recording("too-short", "short", np.zeros(CROP - 1, np.int16))]
    with pytest.raises(
        ShardError, match=rf"track too-short of .* has {CROP - 1} samples, fewer than the crop of {CROP}"
    ):
        open_loader(make_shards(tracks))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 22050}, "holds 8000 Hz, not 22050 Hz"),
        ({"crop_frames": 0}, "crop length is 0"),
        ({"batch_size": 21}, "needs at least 21 different songs, there are 20"),
        ({"batch_size": 9, "world_size": 2}, "batch size 9 does not divide into 2 ranks"),
        ({"rank": 1}, "rank 1 of world size 1"),
        ({"threads": 0}, "threads is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"splits": ("dev",)}, "'dev' is no split"),
        ({"device": "meta"}, "device meta is not supported"),
    ],
)
def test_unusable_settings_are_refused(shards: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_loader(shards, **settings)


def test_a_rate_without_an_encoder_has_no_default_crop(make_shards: WriteShards) -> None:
    shards = make_shards(recordings(8), sample_rate=11025)
    with pytest.raises(ConfigError, match="22050, 16000, 8000 Hz, got 11025"):
        open_loader(shards, crop_frames=None)


def test_the_default_crop_follows_the_sample_rate(make_shards: WriteShards) -> None:
    for rate, frames in ((22050, 59049), (16000, 43740), (8000, 20736)):
        shards = make_shards(recordings(3, shortest=frames, longest=frames + 5), sample_rate=rate)
        with open_loader(shards, crop_frames=None, batch_size=3) as loader:
            assert take(loader, 1)[0].pcm.shape == (3, 2, frames)


def test_a_closed_loader_says_so(shards: Path) -> None:
    loader = open_loader(shards)
    take(loader, 1)
    loader.close()
    loader.close()
    with pytest.raises(ConfigError, match="closed"):
        take(loader, 1)


def test_tracks_left_out_are_counted_and_told_once(make_shards: WriteShards, caplog: pytest.LogCaptureFixture) -> None:
    shards = make_shards([*recordings(12, per_song=12), *recordings(7)[1:]])
    for rank in range(2):
        with open_loader(shards, batch_size=4, rank=rank, world_size=2) as loader:
            assert (
                len(loader),
                indexed(loader).order.orders[0].left_out,
                indexed(loader).order.orders[0].remainder,
            ) == (2, 10, 0)
            take(loader, 5)
    (told,) = caplog.messages
    assert "10 tracks are left out of each epoch" in told


def test_an_empty_split_is_an_error(shards: Path) -> None:
    with pytest.raises(ShardError, match="no tracks in valid"):
        open_loader(shards, splits=("valid",))
