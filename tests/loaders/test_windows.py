"""WindowLoader: every window once, in order, shared out without gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clmr.errors import ConfigError, ShardError
from loaders import WindowBatch, WindowLoader
from sharding.storage import place_at
from tests.loaders.small_shards import CROP, Recording, WriteShards, recordings, write_shards
from tests.servers.s3 import needs_s3

TRACKS = [*recordings(11), *recordings(6, split="valid"), *recordings(5, split="test")]


@pytest.fixture
def shards(make_shards: WriteShards) -> Path:
    """Tracks of one to four windows in three splits."""
    return make_shards(TRACKS, tracks_per_shard=3)


def open_loader(shards: Path, **options: Any) -> WindowLoader:
    return WindowLoader(shards, **{"batch_size": 4, "window_frames": CROP, "threads": 2, **options})


def dump(shards: Path, **options: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All batches joined: pcm, track, window, position."""
    with open_loader(shards, **options) as loader:
        batches: list[WindowBatch] = list(loader)
        assert len(batches) == len(loader)
    return (
        torch.cat([batch.pcm for batch in batches]),
        torch.cat([batch.track for batch in batches]),
        torch.cat([batch.window for batch in batches]),
        torch.cat([batch.position for batch in batches]),
    )


def test_all_windows_of_all_tracks_in_order(shards: Path) -> None:
    expected = [
        (row, window, track.pcm[window * CROP : (window + 1) * CROP])
        for row, track in enumerate(TRACKS)
        for window in range(len(track.pcm) // CROP)
    ]
    pcm, track, window, position = dump(shards)
    assert track.tolist() == [row for row, _, _ in expected]
    assert window.tolist() == [number for _, number, _ in expected]
    assert position.tolist() == list(range(len(expected)))
    assert pcm.dtype == torch.int16
    np.testing.assert_array_equal(pcm.numpy(), np.stack([cut for _, _, cut in expected]))


@pytest.fixture(scope="module")
def shared_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracks of ``shards``, for many examples."""
    return write_shards(tmp_path_factory.mktemp("shared"), TRACKS, tracks_per_shard=3)


@settings(max_examples=25, deadline=None)
@given(window=st.integers(1, CROP), hop=st.integers(25, 5 * CROP), world_size=st.integers(1, 3))
def test_windows_begin_every_hop_and_end_within_their_track(
    shared_shards: Path, window: int, hop: int, world_size: int
) -> None:
    """Whether they overlap, touch or leave gaps, and whichever rank reads them."""
    expected = [
        (row, number, track.pcm[start : start + window])
        for row, track in enumerate(TRACKS)
        for number, start in enumerate(range(0, len(track.pcm) - window + 1, hop))
    ]
    layout = {"window_frames": window, "hop_frames": hop, "batch_size": 64, "world_size": world_size}
    shares = [dump(shared_shards, **layout, rank=rank) for rank in range(world_size)]
    pcm, track, number, position = (torch.cat(part) for part in zip(*shares, strict=True))
    assert position.tolist() == list(range(len(expected)))
    assert list(zip(track.tolist(), number.tolist(), strict=True)) == [place[:2] for place in expected]
    np.testing.assert_array_equal(pcm.numpy(), np.stack([cut for _, _, cut in expected]))
    with open_loader(shared_shards, **layout) as loader:
        assert loader.windows_per_track.tolist() == np.bincount([row for row, _, _ in expected]).tolist()
    ends = number * hop + window
    assert (ends <= torch.tensor([len(each.pcm) for each in TRACKS])[track]).all()


@needs_s3
def test_overlapping_windows_of_a_remote_batch_share_a_request(make_shards: WriteShards, bucket: str) -> None:
    root = make_shards([Recording("long", "long", recordings(1, shortest=9 * CROP, longest=9 * CROP)[0].pcm)])
    url = f"{bucket}/overlapping"
    for path in (path for path in root.rglob("*") if path.is_file()):
        place_at(url).write(path.relative_to(root).as_posix(), path.read_bytes())
    layout: dict[str, Any] = {"batch_size": 1000, "window_frames": CROP, "hop_frames": CROP // 10}
    with WindowLoader(root, **layout) as here, WindowLoader(url, **layout) as there:
        (one,), (other,) = here, there
        assert torch.equal(one.pcm, other.pcm)
        source = there._reader.corpora[0].source
        read, covered = source.meter.counts(), len(one.pcm) * (CROP // 10) + CROP - CROP // 10
        assert (read.requests, read.read, read.wanted) == (1, 2 * covered, 2 * CROP * len(one.pcm))


def test_counts_per_track(shards: Path) -> None:
    with open_loader(shards) as loader:
        assert loader.windows_per_track.tolist() == [len(track.pcm) // CROP for track in TRACKS]
        assert loader.total_windows == loader.windows_per_track.sum()
        assert len(loader.tracks) == len(TRACKS)


def test_only_the_last_batch_is_shorter(shards: Path) -> None:
    with open_loader(shards) as loader:
        sizes = [len(batch.pcm) for batch in loader]
        assert sizes[:-1] == [4] * (len(sizes) - 1)
        assert sizes[-1] == loader.total_windows % 4 != 0


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 100])
def test_ranks_share_the_windows_evenly(shards: Path, world_size: int) -> None:
    whole, _, _, _ = dump(shards)
    shares = []
    for rank in range(world_size):
        with open_loader(shards, rank=rank, world_size=world_size) as loader:
            batches = list(loader)
            assert len(batches) == len(loader)
        shares.append(sum(len(batch.pcm) for batch in batches))
        for batch in batches:
            torch.testing.assert_close(batch.pcm, whole[batch.position], rtol=0, atol=0)
    assert sum(shares) == len(whole)
    assert max(shares) - min(shares) <= 1


def test_each_iteration_starts_over(shards: Path) -> None:
    with open_loader(shards) as loader:
        for _ in loader:
            break
        first = [batch.position.tolist() for batch in loader]
        assert [batch.position.tolist() for batch in loader] == first
        assert first[0] == [0, 1, 2, 3]


def test_a_split_alone(shards: Path) -> None:
    _, track, _, position = dump(shards, splits=("valid",))
    assert set(track.tolist()) == set(range(11, 17))
    assert position[0] == 0


def test_skipped_rows_keep_their_numbers(make_shards: WriteShards) -> None:
    broken = Recording("broken", "x", np.zeros(0, np.int16), reason="decode")
    _, track, _, _ = dump(make_shards([broken, *recordings(3)]))
    assert set(track.tolist()) == {1, 2, 3}


def test_a_track_shorter_than_the_window_is_named(make_shards: WriteShards) -> None:
    shards = make_shards([*recordings(3), Recording("too-short", "s", np.zeros(CROP - 1, np.int16))])
    with pytest.raises(ShardError, match="too-short"):
        open_loader(shards)


def test_a_shard_cut_while_in_use_is_an_error(shards: Path) -> None:
    with open_loader(shards) as loader:
        victim = shards / "valid" / "000000.tar"
        with victim.open("r+b") as file:
            file.truncate(600)
        with pytest.raises(ShardError, match=str(victim)):
            list(loader)


@pytest.mark.parametrize(
    ("unusable", "message"),
    [
        ({"batch_size": 0}, "batch size is 0"),
        ({"rank": 3, "world_size": 3}, "rank 3 of world size 3"),
        ({"hop_frames": 0}, "hop is 0 samples"),
    ],
)
def test_unusable_settings_are_refused(shards: Path, unusable: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_loader(shards, **unusable)
