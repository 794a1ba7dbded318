"""Runs for the page: hand-written folders whose every number is known, with names that try to be markup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.sharding.page.material import Song, tone, write_shards

RATE = 8000
SCRIPT = "<script>window.hacked = 1</script>"
LABELS = (SCRIPT, '"><img src=x onerror="window.hacked = 1">', "quiet", "\u202egnp")
WINDOW = 20736


def write_run(folder: Path, *, kind: str | None = None, **settings: Any) -> Path:
    """A run of ten steps with config.json alone."""
    folder.mkdir(parents=True)
    asked = {"shards": ["shards"], "width": 16, "seed": 0, "temperature": 0.5} | settings
    config = {"settings": asked, "tracks": 24, "sample_rate": RATE, "parameters": 1234, "total_steps": 10}
    (folder / "config.json").write_text(json.dumps(config | ({"kind": kind} if kind else {})), encoding="utf-8")
    return folder


def write_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    """A log."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def write_log(run: Path) -> None:
    """Five lines in which the loss falls from 4 to 2."""
    steps = (2, 4, 6, 8, 10)
    numbers = {"contrastive_accuracy": 0.25, "alignment": 0.5, "uniformity": -1.5, "pairs_per_second": 80.0}
    write_lines(
        run / "log.jsonl",
        [{"step": step, "epoch": 0, "loss": 4.5 - step / 4, "wait_share": 0.01, **numbers} for step in steps],
    )
    write_lines(
        run / "probe.jsonl",
        [{"step": step, "shards": SCRIPT, "roc_auc": 0.5 + step / 50, "valid_tracks": 8} for step in (0, 5, 10)],
    )


def hostile_songs() -> list[Song]:
    """Test tracks in two groups of three songs each; the first song has two tracks, and one is shorter than 10 s."""
    return [
        Song(
            f"track-{number}",
            f"{SCRIPT} {number}.mp3" if number % 2 else f"disc/one{number}.mp3\ndisc/two.mp3",
            tone(4 if number == 6 else 12, frequency=200 + 100 * number, rate=RATE),
            split="test",
            song_id="song-0" if number < 2 else f"song-{number}",
            labels=(LABELS[0], LABELS[3]) if number < 4 else (LABELS[1], LABELS[2]),
        )
        for number in range(7)
    ]


def write_hostile_shards(root: Path) -> Path:
    """The songs, at 8 kHz."""
    return write_shards(root, hostile_songs(), labels=LABELS, rate=RATE, dataset=SCRIPT)


def write_dump(folder: Path, shards: Path | None, songs: list[Song]) -> Path:
    """Features in the plane: the tracks with the first label lie near one axis, the others near the other one."""
    folder.mkdir(parents=True)
    angle = np.array([0.02 * n if LABELS[0] in song.labels else 1.5 - 0.02 * n for n, song in enumerate(songs)])
    matrix = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32).repeat(2, axis=0)
    np.save(folder / "features.npy", matrix)
    table = {
        "key": [song.key for song in songs],
        "split": [song.split for song in songs],
        "song_id": [song.song_id for song in songs],
        "labels": [list(song.labels) for song in songs],
        "first": [2 * number for number in range(len(songs))],
        "windows": [2] * len(songs),
    }
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    origin = {"encoder": "runs/x/checkpoints/step-00000010.pt", "dataset": SCRIPT, "sample_rate": RATE}
    shape = {"windows": len(matrix), "width": 2, "tracks": len(songs), "window_frames": WINDOW}
    where = {"shards": str(shards)} if shards else {"audio": "songs"}
    content = {**origin, **shape, **where, "labels": list(LABELS)}
    (folder / "features.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def scores(tags: list[str], *, heads: int = 1) -> dict[str, Any]:
    """A scores.json by a program that is not train/probe.py: tags fall from .9 in steps of .02."""
    per_tag = {tag: {"positives": 9, "roc_auc": 0.9 - 0.02 * n, "pr_auc": 0.4} for n, tag in enumerate(tags)}
    metrics = {"roc_auc": 0.75, "pr_auc": 0.25}
    head = {"tag": {**metrics, "per_tag": per_tag}, "item": {"roc_auc": None, "pr_auc": None}}
    return {"protocol": {"dataset": SCRIPT, "seed": 0}, "test": [head] * heads}


def write_scores(folder: Path, content: dict[str, Any]) -> None:
    """Where train/probe.py would."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
