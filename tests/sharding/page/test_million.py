"""A page about a million tracks takes no object per track: arrays alone, well below 2 GiB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sharding.format import INDEX_SCHEMA, SPLITS, Manifest, ShardInfo

TRACKS = 1_000_000
FRAMES = 59_049
LABELS = tuple(f"label {number}" for number in range(500))

PROGRAM = """
import re, sys
from pathlib import Path
from sharding.page import write_page
write_page(sys.argv[1])
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def write_million(root: Path) -> None:
    """A million tracks, one in a hundred skipped, in three shards of which no byte lies on the disk."""
    numbers = np.arange(TRACKS)
    skipped = numbers % 100 == 99
    split = np.array(SPLITS)[numbers % 10 // 4]
    text = pa.array(numbers).cast(pa.string())
    worn = pa.array(LABELS).take(pa.array(numbers.repeat(3) * 7919 % len(LABELS)))
    same = {"dataset": "test", "pcm_offset": 556, "frames": FRAMES, "duration": FRAMES / 22050, "clipped": 0}
    columns = {name: pa.array(np.full(TRACKS, value), mask=skipped) for name, value in same.items()}
    columns |= {
        "key": text,
        "split": pa.array(split),
        "status": pa.array(np.where(skipped, "skipped", "written")),
        "reason": pa.array(np.full(TRACKS, "truncated"), mask=~skipped),
        "shard": pa.array(np.char.add(split, "/000000.tar"), mask=skipped),
        "song_id": pa.array(numbers // 3).cast(pa.string()),
        "labels": pa.ListArray.from_arrays(pa.array(np.arange(TRACKS + 1) * 3, pa.int32()), worn),
        "source": pa.compute.binary_join_element_wise("a/folder/of/the/usual/length", text, "/"),
        "source_sha256": pa.compute.binary_join_element_wise("0" * 58, text, ""),
        "peak": pa.array(numbers % 32768 + 1, mask=skipped),
        "dataset": pa.array(np.full(TRACKS, "test")),
    }
    empty = pa.nulls(TRACKS)
    arrays = [columns.get(field.name, empty).cast(field.type) for field in INDEX_SCHEMA]
    pq.write_table(pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA), root / "index.parquet")
    infos = {}
    for name in SPLITS:
        (root / name).mkdir()
        with (root / name / "000000.tar").open("wb") as file:
            file.truncate(556 + 2 * FRAMES)
        tracks = int(((split == name) & ~skipped).sum())
        infos[name] = (ShardInfo(f"{name}/000000.tar", 556 + 2 * FRAMES, tracks, tracks * FRAMES, "0" * 64),)
    left_out = int(skipped.sum())
    written = TRACKS - left_out
    hours = written * FRAMES / 22050 / 3600
    reasons = {"truncated": left_out}
    manifest = Manifest("test", 22050, LABELS, infos, {}, {}, TRACKS, written, reasons, hours)
    (root / "manifest.json").write_text(manifest.to_json())


def test_a_million_tracks(tmp_path: Path) -> None:
    write_million(tmp_path)
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * 2**20  # KiB
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1,000,000 attempted = 990,000 written + 10,000 left out." in text
    assert "The 50 most frequent of 500 labels." in text
    assert text.count("<audio") == 12
