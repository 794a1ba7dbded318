"""A million tracks as a large collection has them: the index of a real size, its shards without a byte on the disk.

python -m tests.loaders.realistic_million FOLDER [TRACKS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo
from sharding.receipt import write_table
from sharding.storage import LocalPlace

RATE = 22050
FRAMES = 30 * RATE
BLOCKS = 60
"""Half seconds of a track, one level each."""
MEMBER_BYTES = 512 + 44 + 2 * FRAMES + (-44 - 2 * FRAMES) % 512 + 1024
PER_SHARD = 405
"""Tracks in 512 MiB."""
LABELS = tuple(f"label {number}" for number in range(50))
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)

Bytes = npt.NDArray[np.uint8]


def write_realistic(root: Path, tracks: int = 1_000_000) -> Path:
    """Write manifest, index and empty shards of MP3 previews of half a minute; one in a hundred was left out.

    Hashes, keys and sources all differ, every other song has two tracks, a track has nought to four of 50 labels, and
    levels are spread as those of music.
    """
    random = np.random.default_rng(0)
    numbers = np.arange(tracks)
    left_out = numbers % 100 == 99
    position = np.cumsum(~left_out) - 1
    shard, within = np.divmod(position, PER_SHARD)
    names = [f"train/{number:06d}.tar" for number in range(int(shard[-1]) + 1)]
    counts = random.integers(0, 5, tracks)
    columns = {
        "key": _numbered("fma-{}", numbers, 9),
        "dataset": pa.array(["fma"]).take(pa.array(np.zeros(tracks, np.int64))),
        "split": pa.array(["train"]).take(pa.array(np.zeros(tracks, np.int64))),
        "status": pa.array(["written", "skipped"]).take(pa.array(left_out.astype(np.int64))),
        "reason": pa.array(["truncated", None]).take(pa.array((~left_out).astype(np.int64))),
        "shard": pa.array(names).take(pa.array(shard, mask=left_out)),
        "pcm_offset": pa.array(within * MEMBER_BYTES + 556, mask=left_out),
        "frames": pa.array(np.full(tracks, FRAMES), mask=left_out),
        "song_id": _hashes(random, tracks, 18).take(pa.array(numbers - numbers % 3 % 2)),
        "labels": pa.ListArray.from_arrays(
            pa.array(np.r_[0, np.cumsum(counts)], pa.int32()),
            pa.array(LABELS).take(pa.array(random.integers(0, len(LABELS), counts.sum()))),
        ),
        "duration": pa.array(np.full(tracks, FRAMES / RATE), mask=left_out),
        "source": _numbered("fma_large/the usual folder/{}.clip.mp3", numbers, 9),
        "source_sha256": _hashes(random, tracks, 64),
        "decoder": pa.nulls(tracks, pa.string()),
        "pcm_xxh3": _hashes(random, tracks, 16),
        "peak": pa.array(random.integers(8000, 32769, tracks, dtype=np.int32), mask=left_out),
        "clipped": pa.array(random.integers(0, 9, tracks) ** 2, mask=left_out),
        "levels": _fixed(pa.binary(), random.normal(40, 6, (tracks, BLOCKS)).clip(0, 255).astype(np.uint8)),
    }
    table = pa.Table.from_arrays([columns[field.name].cast(field.type) for field in INDEX_SCHEMA], schema=INDEX_SCHEMA)
    sha256 = write_table(LocalPlace(root), "index.parquet", table, {"labels": LABELS})
    written = int(position[-1]) + 1
    (root / "train").mkdir()
    infos = []
    for number, name in enumerate(names):
        held = min(PER_SHARD, written - number * PER_SHARD)
        infos.append(ShardInfo(name, held * MEMBER_BYTES + 1024, held, held * FRAMES, f"{number:064x}"))
        with (root / name).open("wb") as file:
            file.truncate(infos[-1].bytes)
    manifest = Manifest(
        dataset="fma",
        sample_rate=RATE,
        labels=LABELS,
        splits={"train": tuple(infos)},
        software={},
        settings={},
        attempted=tracks,
        written=written,
        skipped={"truncated": tracks - written},
        hours=written * FRAMES / RATE / 3600,
        sha256={"index.parquet": sha256},
    )
    (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return root


def _fixed(kind: pa.DataType, rows: Bytes) -> pa.Array:
    """Rows of bytes ``[N, width]`` as strings of that width."""
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def _numbered(text: str, numbers: npt.NDArray[np.int64], digits: int) -> pa.Array:
    """``text`` with each number in it, of that many digits."""
    before, after = (np.frombuffer(part.encode(), np.uint8) for part in text.split("{}"))
    rows = np.empty((len(numbers), len(before) + digits + len(after)), np.uint8)
    rows[:, : len(before)], rows[:, len(before) + digits :] = before, after
    for digit in range(digits):
        rows[:, len(before) + digit] = numbers // 10 ** (digits - 1 - digit) % 10 + ord("0")
    return _fixed(pa.string(), rows)


def _hashes(random: np.random.Generator, number: int, digits: int) -> pa.Array:
    """Different random hexadecimal numbers."""
    return _fixed(pa.string(), HEX[random.integers(0, 16, (number, digits), dtype=np.uint8)])


if __name__ == "__main__":
    write_realistic(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
