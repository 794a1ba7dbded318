"""Small feature dumps whose answer is known, and the probe run on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from train.probe import main

RNG_SEED = 5
WINDOW_FRAMES = 100


def write_features(
    folder: Path, *, signal: float, unseen_tag: bool = False, poison: bool = False, classes: bool = False
) -> Path:
    """120 tracks of 1 to 4 windows, 8 features; tags a and b are linear in them with strength ``signal``.

    Two tracks a song. Every fifth track of more than one window is a whole number of windows long. With ``classes``
    each track has one of the labels a and b.
    """
    rng = np.random.default_rng(RNG_SEED)
    windows = rng.integers(1, 5, 120)
    split = np.array(["train"] * 60 + ["valid"] * 30 + ["test"] * 30)
    tags = rng.random((120, 2)) < 0.4
    tags[60:64] = tags[90:94] = [[True, False], [False, True], [True, True], [False, False]]
    if classes:
        tags[:, 1] = ~tags[:, 0]
    matrix = rng.standard_normal((windows.sum(), 8)).astype(np.float32)
    matrix[:, :2] += signal * np.repeat(tags, windows, axis=0)
    if poison:
        matrix[-1, 3] = np.nan
    names = ["a", "b", *(["never"] if unseen_tag else [])]
    labels = [[name for name, on in zip("ab", row, strict=True) if on] for row in tags]
    folder.mkdir()
    np.save(folder / "features.npy", matrix)
    whole = (np.arange(120) % 5 == 0) & (windows > 1)
    table = {
        "key": [f"track-{number}" for number in range(120)],
        "split": split.tolist(),
        "song_id": [f"song-{number // 2}" for number in range(120)],
        "labels": labels,
        "frames": (windows * WINDOW_FRAMES + np.where(whole, 0, 7)).tolist(),
        "first": (np.cumsum(windows) - windows).tolist(),
        "windows": windows.tolist(),
    }
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    origin = {"encoder": "made up", "dataset": "test", "sample_rate": 8000, "labels": names}
    shape = {"windows": len(matrix), "width": 8, "tracks": 120, "window_frames": WINDOW_FRAMES}
    (folder / "features.json").write_text(json.dumps({**origin, **shape}), encoding="utf-8")
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of ``tracks.parquet``."""
    rows: list[dict[str, Any]] = pq.read_table(folder / "tracks.parquet").to_pylist()
    return rows


def rewrite(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Put other rows in their place."""
    schema = pq.read_schema(folder / "tracks.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "tracks.parquet")


def edit_split(folder: Path, split: str, *, seed: int, windows: bool = True) -> None:
    """Give the labels of one split, and its windows where asked for, other values."""
    rng = np.random.default_rng(seed)
    rows = rows_of(folder)
    matrix = np.load(folder / "features.npy")
    for row in rows:
        if row["split"] == split:
            if windows:
                matrix[row["first"] : row["first"] + row["windows"]] = 9 * rng.standard_normal((row["windows"], 8)) - 4
            row["labels"] = [tag for tag in "ab" if rng.random() < 0.5]
    np.save(folder / "features.npy", matrix)
    rewrite(folder, rows)


def run_probe(features: Path, out: Path, *options: str) -> dict[str, Any]:
    """The command, in this process; what is in its scores.json."""
    main.main(["--features", str(features), "--out", str(out), *options], standalone_mode=False)
    result = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert isinstance(result, dict)
    return result
