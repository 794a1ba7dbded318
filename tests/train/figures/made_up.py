"""Made-up inputs of figures: probe folders, runs, feature dumps; and what each figure must have written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from train.figures.style import DPI, WIDTH_INCHES


def write_scores(
    folder: Path, heads: Sequence[tuple[float, float]], *, tags: dict[str, float] | None = None, **protocol: Any
) -> Path:
    """scores.json as train/probe.py writes it, of heads with tag-wise ROC-AUC and PR-AUC."""
    each = [
        {
            "seed": seed,
            "tag": {
                "roc_auc": roc_auc,
                "pr_auc": pr_auc,
                "per_tag": {
                    tag: {"positives": 3, "roc_auc": score + 0.01 * seed, "pr_auc": score / 2}
                    for tag, score in (tags or {"loud": 0.9, "fast": 0.6, "minor": 0.45}).items()
                },
            },
            "item": {"roc_auc": 0.9, "pr_auc": 0.8},
        }
        for seed, (roc_auc, pr_auc) in enumerate(heads)
    ]
    said = {
        "dataset": "demo",
        "encoder": "nowhere/step-00000030.pt",
        "tracks": {"train": 60, "valid": 20, "test": 24},
        "aggregation": "mean over a track's windows of the sigmoid",
        "head": {"kind": "linear"},
        **protocol,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps({"protocol": said, "test": each}))
    return folder


def write_features(folder: Path, *, tracks: int = 6, windows: int = 5, seed: int = 0, spread: float = 0.1) -> Path:
    """A dump of tracks that each lie around a direction of their own."""
    rng = np.random.default_rng(seed)
    centres = np.eye(tracks, 8)
    matrix = np.repeat(centres, windows, axis=0) + spread * rng.standard_normal((tracks * windows, 8))
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", matrix.astype(np.float32))
    table = pa.table(
        {
            "key": [f"track-{index}" for index in range(tracks)],
            "split": ["valid"] * tracks,
            "song_id": [f"song-{index}" for index in range(tracks)],
            "labels": pa.array([["loud"]] * tracks, pa.list_(pa.string())),
            "first": [index * windows for index in range(tracks)],
            "windows": [windows] * tracks,
        }
    )
    pq.write_table(table, folder / "tracks.parquet")
    origin = {"encoder": "made up", "dataset": "demo", "sample_rate": 8000, "window_frames": 20736, "labels": ["loud"]}
    shape = {"windows": len(matrix), "width": 8, "tracks": tracks}
    (folder / "features.json").write_text(json.dumps({**origin, **shape}))
    return folder


def check_written(out: Path, name: str, *, svg: bool = True) -> dict[str, Any]:
    """The picture has its width, is not blank, and no text runs over an edge; the CSV has the rows of the JSON."""
    with Image.open(out / f"{name}.png") as picture:
        assert picture.width == WIDTH_INCHES * DPI
        colours = picture.convert("RGB").getcolors(picture.size[0] * picture.size[1])
        assert np.asarray(picture.convert("L"))[:, [0, -1]].min() == 255, "something runs over an edge"
    assert colours is not None
    assert len(colours) > 10, "the picture is blank"
    assert (out / f"{name}.svg").exists() == svg
    document: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    with (out / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {key: "" if value is None else str(value) for key, value in row.items()} for row in document["rows"]
    ]
    return document
