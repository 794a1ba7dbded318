"""A million tracks are a handful of arrays: opened, ordered and resumed without an object per track."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loaders import PairLoader, WindowLoader
from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo
from tests.loaders.small_shards import indexed

TRACKS = 1_000_000
FRAMES = 10
MEMBER_BYTES = 1024  # a tar header, and the WAV file padded to one more block


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million tracks of 10 samples in one sparse shard of 1 GB that takes no room on the disk."""
    root = tmp_path_factory.mktemp("million")
    numbers = np.arange(TRACKS)
    columns = {
        "key": pa.array(numbers).cast(pa.string()),
        "song_id": pa.array(numbers // 3).cast(pa.string()),
        "pcm_offset": pa.array(numbers * MEMBER_BYTES + 512 + 44),
        "frames": pa.array(np.full(TRACKS, FRAMES)),
        "labels": pa.ListArray.from_arrays(np.zeros(TRACKS + 1, dtype=np.int32), pa.array([], pa.string())),
    }
    same = {"dataset": "test", "split": "train", "status": "written", "shard": "train/000000.tar", "source": "x"}
    arrays = []
    for field in INDEX_SCHEMA:
        if field.name in columns:
            arrays.append(columns[field.name].cast(field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(same.get(field.name), field.type), TRACKS))
    pq.write_table(pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA), root / "index.parquet")
    shard = ShardInfo("train/000000.tar", TRACKS * MEMBER_BYTES, TRACKS, TRACKS * FRAMES, "0" * 64)
    (root / "train").mkdir()
    with (root / shard.name).open("wb") as file:
        file.truncate(shard.bytes)
    manifest = Manifest(
        dataset="test",
        sample_rate=8000,
        labels=(),
        splits={"train": (shard,)},
        software={},
        settings={},
        attempted=TRACKS,
        written=TRACKS,
        skipped={},
        hours=0.0,
    )
    (root / "manifest.json").write_text(manifest.to_json())
    return root


def test_pairs_and_resume(million: Path) -> None:
    gc.collect()
    before = len(gc.get_objects())
    with PairLoader(million, batch_size=4096, crop_frames=8, rank=3, world_size=8) as loader:
        assert len(loader) == TRACKS // 4096
        assert indexed(loader).order.orders[0].left_out == 0
        loader.load_state_dict({**loader.state_dict(), "epoch": 41, "step": 243})
        last, first = next(iter(loader)), next(iter(loader))
        assert ((last.epoch, last.step), (first.epoch, first.step)) == ((41, 243), (42, 0))
        assert last.pcm.shape == (512, 2, 8)
        assert len(last.track.unique()) == 512
        gc.collect()
        assert len(gc.get_objects()) - before < 5_000  # nothing per track


def test_windows(million: Path) -> None:
    with WindowLoader(million, batch_size=256, window_frames=5, rank=7, world_size=8) as loader:
        assert loader.total_windows == 2 * TRACKS
        assert len(loader) == -(-2 * TRACKS // 8 // 256)
        batch = next(iter(loader))
        assert batch.position[0] == 2 * TRACKS // 8 * 7
        assert batch.track[0] == TRACKS // 8 * 7
