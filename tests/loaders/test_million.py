"""A million tracks are a handful of arrays: opened, ordered and resumed without an object per track."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clmr.draw import make_keys
from loaders import PairLoader, WindowLoader
from loaders.order.levels import Levels
from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo, open_shards
from tests.loaders.realistic_million import FRAMES as CLIP_FRAMES
from tests.loaders.realistic_million import LABELS, write_realistic
from tests.loaders.small_shards import indexed

TRACKS = 1_000_000
FRAMES = 10
MEMBER_BYTES = 1024  # a tar header, and the WAV file padded to one more block

OPEN = """
import json, re, sys
from pathlib import Path
from loaders import PairLoader

def mebibytes(what):
    return int(re.search(what + r":\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) / 1024

before = mebibytes("VmRSS")
loader = PairLoader(sys.argv[1], batch_size=96)
print(json.dumps([len(loader), mebibytes("VmHWM") - before]))
loader.close()
"""


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


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_realistic(tmp_path_factory.mktemp("realistic"))


def test_opening_takes_less_than_300_mb(realistic: Path) -> None:
    """Peak of a fresh process beyond what its imports take, though the index alone is 90 MB compressed."""
    assert (realistic / "index.parquet").stat().st_size > 80e6
    done = subprocess.run([sys.executable, "-c", OPEN, realistic], capture_output=True, text=True, check=True)
    steps, peak = json.loads(done.stdout)
    assert steps == 990_000 // 96
    assert peak < 300e6 / 2**20


def test_columns_are_there_when_they_are_needed(realistic: Path) -> None:
    tracks = open_shards(realistic).tracks()
    assert (len(tracks), len(tracks.shard_names), int(tracks.frames.min())) == (990_000, 2445, CLIP_FRAMES)
    assert tracks.row[98:101].tolist() == [98, 100, 101]  # every hundredth was left out
    assert tracks.table["key"][99].as_py() == "fma-000000100"
    assert set(tracks.table["labels"][99].as_py()) <= set(LABELS)
    levels = Levels(tracks, 22050, 30.0)
    track = np.array([[5, 989_999]])
    starts = levels.choose_starts(make_keys(0, 0, track[0])[None], tracks.frames[track], 59_049, track)
    assert starts.shape == (1, 2, 2)
