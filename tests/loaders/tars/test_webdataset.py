"""The webdataset backend: the bytes, every track once, and what stays the same whoever reads."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
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
from loaders import Batch, webdataset
from loaders.settings import PairSettings
from loaders.tars.samples import track_number
from loaders.webdataset import StreamedPairs
from sharding.format import read_manifest
from tests.loaders.small_shards import CROP, WriteShards, recordings

BATCH = 8
TENSORS = ("pcm", "keys", "track", "source")
Members = dict[str, bytes]
Change = Callable[[str, Members], Members]


def described(root: Path, change: Change = lambda _, members: members) -> Path:
    """Write the tars again with all that KEY.json holds, and with what ``change`` makes of the members of each key."""
    manifest = json.loads((root / "manifest.json").read_text())
    index = pq.read_table(root / "index.parquet")
    songs = dict(zip(index["key"].to_pylist(), index["song_id"].to_pylist(), strict=True))
    for shard in (shard for shards in manifest["splits"].values() for shard in shards):
        path = root / shard["name"]
        keys: dict[str, Members] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                keys.setdefault(key, {})[kind] = file.read()
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, members in keys.items():
                fields = json.loads(members["json"])
                members["json"] = json.dumps({**fields, "song_id": songs[key]}).encode()
                for kind, data in change(key, members).items():
                    member = tarfile.TarInfo(f"{key}.{kind}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        shard["bytes"] = path.stat().st_size
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


def open_pairs(
    shards: Path | str, rank: int = 0, world_size: int = 1, shuffle: int = 24, **settings: Any
) -> StreamedPairs:
    """A supply with little mixing, so that batches are made in all ways that there are."""
    chosen = {"batch_size": BATCH, "crop_frames": CROP, "seed": 3, "shuffle": shuffle, **settings}
    shards_used = ((str(shards), 1.0),)
    return StreamedPairs(
        PairSettings(shards=shards_used, backend="webdataset", **chosen), rank, world_size, torch.device("cpu")
    )


def take(pairs: StreamedPairs, number: int, epoch: int = 0, step: int = 0) -> list[Batch]:
    """The batches from a step on."""
    feed = pairs.feed(epoch, step)
    try:
        return list(islice(feed, number))
    finally:
        feed.cancel()


def read(shards: Path | str, number: int, epoch: int = 0, step: int = 0, **settings: Any) -> list[Batch]:
    """The batches from a step on, by a supply of their own."""
    pairs = open_pairs(shards, **settings)
    try:
        return take(pairs, number, epoch, step)
    finally:
        pairs.close()


def content(batches: list[Batch]) -> list[tuple[int, int, bytes, bytes, bytes]]:
    """Everything that must be reproduced, comparable by ==."""
    return [
        (b.epoch, b.step, b.pcm.numpy().tobytes(), b.keys.numpy().tobytes(), b.track.numpy().tobytes()) for b in batches
    ]


def joined(parts: list[list[Batch]]) -> list[Batch]:
    """The global batches of all ranks."""
    return [
        replace(ranks[0], **{name: torch.cat([getattr(rank, name) for rank in ranks]) for name in TENSORS})
        for ranks in zip(*parts, strict=True)
    ]


def samples_by_number(shards: Path) -> dict[int, tuple[str, npt.NDArray[np.int16]]]:
    """Song and samples of each track, as tarfile and soundfile read them."""
    found = {}
    for path in sorted(shards.glob("train/*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
            data = {name: file.read() for name, file in files.items() if file is not None}
        for name in (name for name in data if name.endswith(".wav")):
            key = name.removesuffix(".wav")
            pcm = soundfile.read(io.BytesIO(data[name]), dtype="int16")[0]
            found[track_number(key)] = json.loads(data[f"{key}.json"])["song_id"], pcm
    return found


@pytest.fixture
def streamed(make_shards: WriteShards) -> Path:
    """40 tracks of 40 songs in 6 shards, without an index."""
    root = described(make_shards(recordings(40)))
    (root / "index.parquet").unlink()
    return root


def test_shapes_types_and_counts(streamed: Path) -> None:
    pairs = open_pairs(streamed)
    assert (pairs.steps, pairs.track_count, pairs.sample_rate, pairs.crop_frames) == (5, 40, 8000, CROP)
    batches = take(pairs, 7)
    assert [(batch.epoch, batch.step) for batch in batches] == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)]
    for batch in batches:
        assert (batch.pcm.shape, batch.pcm.dtype) == ((BATCH, 2, CROP), torch.int16)
        assert (batch.keys.shape, batch.keys.dtype) == ((BATCH, 2), torch.int64)
        assert (batch.track.shape, batch.track.dtype) == ((BATCH,), torch.int64)
        assert batch.track.min() >= 0
        assert batch.source.tolist() == [0] * BATCH
    assert "6 shards from front to back" in pairs.description


def test_every_crop_equals_the_cut_from_the_wav_member(streamed: Path) -> None:
    tracks = samples_by_number(streamed)
    for batch in read(streamed, 12):
        keys = make_keys(3, batch.epoch, batch.track.numpy(), (0, 1))
        np.testing.assert_array_equal(batch.keys.numpy(), keys)
        for pair, number, key in zip(batch.pcm.numpy(), batch.track.tolist(), keys, strict=True):
            whole = tracks[number][1]
            for crop, u in zip(pair, uniform_numpy(key, "crop"), strict=True):
                start = int(u * (len(whole) - CROP + 1))
                np.testing.assert_array_equal(crop, whole[start : start + CROP])


def test_every_track_comes_once_in_an_order_of_each_epoch_and_seed(streamed: Path) -> None:
    orders = []
    for epoch, seed in ((0, 3), (1, 3), (0, 4)):
        numbers = torch.cat([batch.track for batch in read(streamed, 5, epoch, seed=seed)]).tolist()
        assert sorted(numbers) == sorted(samples_by_number(streamed))
        orders.append(numbers)
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_tracks_of_several_shards_meet_in_a_batch(make_shards: WriteShards) -> None:
    shards = described(make_shards(recordings(96), tracks_per_shard=12))
    shard_of = {track_number(track.key): number // 12 for number, track in enumerate(recordings(96))}
    batches = read(shards, 12, shuffle=48)
    assert all(len({shard_of[number] for number in batch.track.tolist()}) >= 3 for batch in batches[2:])


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_ranks_join_to_the_same_global_batches(streamed: Path, world_size: int) -> None:
    parts = [read(streamed, 7, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert content(joined(parts)) == content(read(streamed, 7))


def test_one_shard_is_enough_for_many_ranks(make_shards: WriteShards) -> None:
    shards = described(make_shards(recordings(40), tracks_per_shard=40))
    parts = [read(shards, 5, rank=rank, world_size=8) for rank in range(8)]
    tracks = torch.cat([batch.track for batch in joined(parts)]).tolist()
    assert sorted(tracks) == sorted(samples_by_number(shards))


def test_pairs_of_one_read_go_to_as_many_batches(streamed: Path) -> None:
    pairs = open_pairs(streamed, pairs_per_read=3)
    assert pairs.steps == 15
    batches = take(pairs, 15)
    uses = Counter(number for batch in batches for number in batch.track.tolist())
    assert sum(uses.values()) == 120
    assert pairs.repeated <= 12  # where the last pairs of the last tracks found no batch without that track
    assert sum(times != 3 for times in uses.values()) <= 2 * pairs.repeated
    for batch in batches:
        assert len(set(batch.track.tolist())) == BATCH
    keys = torch.cat([batch.keys for batch in batches]).reshape(-1).tolist()
    assert len(set(keys)) == len(keys)  # no crop comes twice
    possible = make_keys(3, 0, list(uses), range(8)).reshape(-1).tolist()
    assert set(keys) <= set(possible)


def test_no_song_meets_itself_in_a_global_batch(make_shards: WriteShards) -> None:
    shards = described(make_shards(recordings(70, per_song=5), tracks_per_shard=10))
    songs = {number: song for number, (song, _) in samples_by_number(shards).items()}
    for pairs_per_read in (1, 2):
        parts = [read(shards, 16, rank=rank, world_size=2, pairs_per_read=pairs_per_read) for rank in range(2)]
        for batch in joined(parts):
            assert len({songs[number] for number in batch.track.tolist()}) == BATCH


def test_too_few_songs_for_a_batch_are_told(make_shards: WriteShards) -> None:
    shards = described(make_shards(recordings(40, per_song=10)))
    with pytest.raises(ConfigError, match="a batch of 8 needs as many different songs"):
        read(shards, 1)


def test_a_batch_larger_than_the_data_is_told(streamed: Path) -> None:
    with pytest.raises(ConfigError, match="there are 40 in the splits used"):
        open_pairs(streamed, batch_size=48)


def test_a_buffer_larger_than_the_memory_is_told(streamed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "free_bytes", lambda _: 24 * 2 * CROP * 2 - 1)
    with pytest.raises(ConfigError, match=r"the shuffle buffer takes .* for batches of 8 pairs with 1 of each track"):
        open_pairs(streamed)


def test_resume_at_every_step_equals_uninterrupted(streamed: Path) -> None:
    reference = content(read(streamed, 13))
    for start in range(10):
        epoch, step = divmod(start, 5)
        assert content(read(streamed, 13 - start, epoch, step)) == reference[start:]


def test_resume_at_another_world_size(streamed: Path) -> None:
    reference = content(read(streamed, 9))
    parts = [read(streamed, 6, 0, 3, rank=rank, world_size=4) for rank in range(4)]
    assert content(joined(parts)) == reference[3:]


def test_depth_changes_nothing(streamed: Path) -> None:
    assert content(read(streamed, 12, depth=1)) == content(read(streamed, 12, depth=9))


def test_the_fingerprint_says_what_batches_follow_from(streamed: Path, make_shards: WriteShards) -> None:
    mine = open_pairs(streamed).fingerprint
    assert json.loads(json.dumps(mine)) == mine
    assert open_pairs(streamed, rank=1, world_size=2, depth=7, threads=1).fingerprint == mine
    for other in ({"seed": 4}, {"batch_size": 4}, {"crop_frames": 400}, {"pairs_per_read": 2}, {"shuffle": 40}):
        assert open_pairs(streamed, **other).fingerprint != mine
    assert open_pairs(make_shards(recordings(40, seed=1))).fingerprint["tracks"] != mine["tracks"]


def test_reading_is_counted(streamed: Path) -> None:
    pairs = open_pairs(streamed)
    take(pairs, 5)
    take(pairs, 5, 1)
    counts = pairs.counts()
    # Behind the last pair of an epoch nothing is read, and the next one may have begun.
    whole = sum(shard.bytes for shard in read_manifest(streamed).shards)
    assert 1.5 * whole < counts.read < 3.5 * whole
    assert counts.wanted >= 10 * BATCH * 2 * CROP * 2
    assert counts.requests >= 80


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cache": "somewhere"}, "cache does nothing with the webdataset backend"),
        ({"window": 4}, "window does nothing"),
        ({"quiet_db": 30.0}, "quiet_db does nothing"),
        ({"access": "ranges"}, "access does nothing"),
        ({"splits": ("train", "tset")}, "'tset' is no split"),
        ({"sample_rate": 16000}, "holds 8000 Hz, not 16000 Hz"),
        ({"batch_size": 9, "world_size": 2}, "does not divide into 2 ranks"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(streamed: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_pairs(streamed, **settings)


def test_a_split_without_tracks_is_told(streamed: Path) -> None:
    with pytest.raises(ShardError, match="has no tracks in valid; it has train"):
        open_pairs(streamed, splits=("valid",))


def test_several_folders_are_refused(streamed: Path) -> None:
    settings = PairSettings(shards=((str(streamed), 0.5), ("other", 0.5)), batch_size=BATCH, backend="webdataset")
    with pytest.raises(ConfigError, match="reads one folder of shards, not 2"):
        StreamedPairs(settings, 0, 1, torch.device("cpu"))
