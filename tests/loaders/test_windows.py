"""WindowLoader: every window once, in order, shared out without gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clmr.errors import ConfigError, ShardError
from loaders import WindowBatch, WindowLoader
from tests.loaders.small_shards import CROP, Recording, WriteShards, recordings

TRACKS = [*recordings(11), *recordings(6, split="valid"), *recordings(5, split="test")]


@pytest.fixture
def shards(make_shards: WriteShards) -> Path:
    """Tracks of one to four windows in three splits."""
    return make_shards(TRACKS, tracks_per_shard=3)


def open_loader(shards: Path, **settings: Any) -> WindowLoader:
    return WindowLoader(shards, **{"batch_size": 4, "window_frames": CROP, "threads": 2, **settings})


def dump(shards: Path, **settings: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All batches joined: pcm, track, window, position."""
    with open_loader(shards, **settings) as loader:
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
    ("settings", "message"),
    [({"batch_size": 0}, "batch size is 0"), ({"rank": 3, "world_size": 3}, "rank 3 of world size 3")],
)
def test_unusable_settings_are_refused(shards: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_loader(shards, **settings)
