"""The global batches are the same to the byte for any number of ranks, also where that number changes in an epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loaders import Batch
from tests.loaders.small_shards import recordings, write_shards
from tests.loaders.taking import open_loader, take

BATCH = 24
WORLDS = (1, 2, 3, 4, 8)
Settings = dict[str, object]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """150 tracks of 50 songs in 22 shards, and 70 tracks of 70 songs in 10."""
    root = tmp_path_factory.mktemp("worlds")
    return (
        write_shards(root / "songs", recordings(150, per_song=3)),
        write_shards(root / "singles", recordings(70, seed=1)),
    )


def joined(batches: list[list[Batch]]) -> list[tuple[object, ...]]:
    """The global batches of all ranks: place in the run, sources, tracks, draw keys and bytes."""
    return [
        (
            *((batch[0].epoch, batch[0].step)),
            *(torch.cat([getattr(b, name) for b in batch]).tolist() for name in ("source", "track", "keys")),
            torch.cat([b.pcm for b in batch]).numpy().tobytes(),
        )
        for batch in zip(*batches, strict=True)
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Settings]:
    """Which data, and settings."""
    data = draw(st.sampled_from(["songs", "singles", "mixture"]))
    settings: Settings = {
        "seed": draw(st.integers(0, 2**63)),
        "window": draw(st.sampled_from([0, 12] if data == "songs" else [0])),
        "pairs_per_read": draw(st.sampled_from([1, 3])),
    }
    return data, settings


@given(
    case=cases(),
    first=st.sampled_from(WORLDS),
    second=st.sampled_from(WORLDS),
    before=st.integers(0, 12),
)
def test_any_number_of_ranks_and_a_switch_between(
    folders: tuple[Path, Path], case: tuple[str, Settings], first: int, second: int, before: int
) -> None:
    data, settings = case
    songs, singles = map(str, folders)
    shards = {"songs": {songs: 1.0}, "singles": {singles: 1.0}, "mixture": {songs: 0.7, singles: 0.3}}[data]
    steps = before + 5
    options = {"batch_size": BATCH, "threads": 1, **settings}
    with open_loader(shards, **options) as alone:
        expected = joined([take(alone, steps)])
    parts: list[list[Batch]] = []
    state = ""
    for rank in range(first):
        with open_loader(shards, rank=rank, world_size=first, **options) as loader:
            parts.append(take(loader, before))
            state = json.dumps(loader.state_dict())
    came = joined(parts)
    parts = []
    for rank in range(second):
        with open_loader(shards, rank=rank, world_size=second, **options) as loader:
            loader.load_state_dict(json.loads(state))
            parts.append(take(loader, steps - before))
    assert came + joined(parts) == expected
