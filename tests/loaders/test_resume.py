"""Two integers are the state of a loader: it goes on from them anywhere, and refuses what is not its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from clmr.errors import ResumeError
from loaders.planned import PairPlan
from loaders.reading.crops import CropReader
from loaders.reading.readahead import ReadAhead
from tests.loaders.small_shards import CROP, WriteShards, recordings
from tests.loaders.taking import BATCH, content, open_loader, take


def test_resume_at_every_step_equals_uninterrupted(shards: Path) -> None:
    with open_loader(shards) as loader:
        reference = content(take(loader, 13))
    for stop in range(11):
        with open_loader(shards) as first:
            take(first, stop)
            state = json.loads(json.dumps(first.state_dict()))
        with open_loader(shards) as second:
            second.load_state_dict(state)
            assert content(take(second, 13 - stop)) == reference[stop:]


def test_state_counts_delivered_batches_not_prefetched_ones(shards: Path) -> None:
    with open_loader(shards, depth=5) as loader:
        states = [loader.state_dict()]
        for _ in range(6):
            take(loader, 1)
            states.append(loader.state_dict())
    assert [(state["epoch"], state["step"]) for state in states] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (1, 0),
        (1, 1),
    ]


def test_resume_at_another_world_size(shards: Path) -> None:
    with open_loader(shards) as single:
        reference = take(single, 9)
    with open_loader(shards, rank=1, world_size=2) as two:
        take(two, 3)
        state = two.state_dict()
    for world_size in (1, 4):
        for rank in range(world_size):
            with open_loader(shards, rank=rank, world_size=world_size) as loader:
                loader.load_state_dict(state)
                share = BATCH // world_size
                for batch, whole in zip(take(loader, 6), reference[3:], strict=True):
                    rows = slice(rank * share, (rank + 1) * share)
                    assert (batch.epoch, batch.step) == (whole.epoch, whole.step)
                    torch.testing.assert_close(batch.pcm, whole.pcm[rows], rtol=0, atol=0)


def test_load_state_dict_moves_a_running_loader(shards: Path) -> None:
    with open_loader(shards) as loader:
        start = loader.state_dict()
        reference = content(take(loader, 4))
        loader.load_state_dict(start)
        assert content(take(loader, 4)) == reference


def test_breaking_out_of_a_loop_loses_nothing(shards: Path) -> None:
    with open_loader(shards) as loader:
        reference = content(take(loader, 5))
    with open_loader(shards) as loader:
        batches = []
        for batch in loader:
            batches.append(batch)
            if len(batches) == 2:
                break
        batches += list(loader)  # the rest of the epoch
        assert content(batches) == reference


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("seed", 4, "saved with seed 3, this run has 4"),
        ("batch_size", 4, "saved with batch_size 8, this run has 4"),
        ("crop_frames", CROP - 1, f"saved with crop_frames {CROP}, this run has {CROP - 1}"),
        ("splits", ("test", "train"), "saved with splits"),
    ],
)
def test_state_of_other_settings_is_refused(shards: Path, setting: str, value: Any, message: str) -> None:
    with open_loader(shards) as loader:
        state = loader.state_dict()
    if setting == "splits":
        state["fingerprint"]["tracks"] = None
    with open_loader(shards, **{setting: value}) as other:
        if setting == "splits":
            state["fingerprint"]["tracks"] = other.state_dict()["fingerprint"]["tracks"]
        with pytest.raises(ResumeError, match=message):
            other.load_state_dict(state)


def test_state_of_other_data_is_refused(shards: Path, make_shards: WriteShards) -> None:
    with open_loader(shards) as loader:
        state = loader.state_dict()
    with open_loader(make_shards(recordings(40, seed=1))) as other, pytest.raises(ResumeError, match="tracks"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    "broken", [{}, {"epoch": 0}, {"epoch": 0, "step": 99}, {"epoch": -1, "step": 0}, {"epoch": None, "step": 0}]
)
def test_a_damaged_state_is_refused(shards: Path, broken: dict[str, Any]) -> None:
    with open_loader(shards) as loader:
        fingerprint = loader.state_dict()["fingerprint"]
        with pytest.raises(ResumeError, match="state"):
            loader.load_state_dict({**broken, "fingerprint": fingerprint} if broken else broken)


@pytest.mark.parametrize("where", ["taking", "submitting", "planning"])
def test_an_interrupt_anywhere_loses_no_batch(shards: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """As in a notebook, where the loader lives on after Ctrl-C."""
    with open_loader(shards) as loader:
        expected = content(take(loader, 8))
    owner, name = {
        "taking": (ReadAhead, "take"),
        "submitting": (CropReader, "submit"),
        "planning": (PairPlan, "_batches"),
    }[where]
    real = getattr(owner, name)

    def interrupted(*arguments: Any) -> Any:
        real(*arguments)
        raise KeyboardInterrupt

    with open_loader(shards) as loader:
        came = take(loader, 3)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            if where == "planning":  # it plans many batches at a time
                loader.load_state_dict(loader.state_dict())
            with pytest.raises(KeyboardInterrupt):
                take(loader, 1)
        assert content(came + take(loader, 5)) == expected


def test_levels_decide_where_quiet_crops_are_avoided(make_shards: WriteShards) -> None:
    tracks = recordings(40)
    shards = make_shards(tracks)
    with open_loader(shards, quiet_db=20.0) as loader:
        state = loader.state_dict()
    index = pq.read_table(shards / "index.parquet")
    column = index.schema.get_field_index("levels")
    louder = [bytes(level ^ 1 for level in levels) for levels in index["levels"].to_pylist()]
    changed = index.set_column(column, index.schema.field(column), pa.array(louder, pa.binary()))
    pq.write_table(changed, shards / "index.parquet")
    with open_loader(shards, quiet_db=20.0) as other, pytest.raises(ResumeError, match="levels"):
        other.load_state_dict(state)
