"""Feature dumps: one memory-mappable matrix of window features, and a parquet that says whose they are.

<features>/features.npy      float32 [windows, width], track after track, window after window
<features>/tracks.parquet    one row per track: key, split, song_id, labels, first (row of its first window), windows
<features>/features.json     written last: where they come from, label vocabulary, shape
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch.distributed as dist

from clmr.errors import FeatureError
from sharding.format import Tracks
from sharding.publish import publish

Matrix = npt.NDArray[np.float32]


def _barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


class FeatureWriter:
    """Every rank writes its own rows of one matrix; the folder is complete when ``close`` has returned on the first.

    The ranks must see the same file system.
    """

    def __init__(self, out: Path, *, windows: int, width: int, first: bool) -> None:
        self.out, self.first = out, first
        self._partial = out / ".features.npy.part"
        if first:
            out.mkdir(parents=True, exist_ok=True)
            (out / "features.json").unlink(missing_ok=True)  # from here on the folder is incomplete
            needed, free = windows * width * 4, shutil.disk_usage(out).free
            if needed > free:
                raise FeatureError(f"{out}: {needed:,} bytes of features do not fit, {free:,} are free")
            created = np.lib.format.open_memmap(self._partial, "w+", np.float32, (windows, width))
            created.flush()
        _barrier()
        self.rows: Matrix = np.lib.format.open_memmap(self._partial, "r+")

    def close(self, tracks: Tracks, windows_per_track: npt.NDArray[np.int64], origin: dict[str, Any]) -> None:
        """Wait for every rank, then give the files their names; ``origin`` goes into features.json."""
        self.rows.flush()  # type: ignore[attr-defined]  # np.memmap, which numpy's stub calls ndarray
        _barrier()
        if self.first:
            table = tracks.table.select(["key", "split", "song_id", "labels"])
            first_window = np.cumsum(windows_per_track) - windows_per_track
            table = table.append_column("first", pa.array(first_window, pa.int64()))
            table = table.append_column("windows", pa.array(windows_per_track, pa.int64()))
            with publish(self.out / "tracks.parquet") as path:
                pq.write_table(table, path)
            self._partial.replace(self.out / "features.npy")
            with publish(self.out / "features.json") as path:
                shape = {"windows": int(self.rows.shape[0]), "width": int(self.rows.shape[1]), "tracks": len(tracks)}
                path.write_text(json.dumps({**origin, **shape}, indent=2) + "\n", encoding="utf-8")
        _barrier()


@dataclass(frozen=True, eq=False)
class Features:
    """A feature dump, opened. Tracks are in the order of ``tracks.parquet``."""

    origin: dict[str, Any]
    """features.json: encoder, shards, vocabulary."""
    matrix: Matrix
    """float32 ``[windows, width]``, memory-mapped."""
    split: npt.NDArray[np.str_]
    """``[tracks]``"""
    labels: npt.NDArray[np.bool_]
    """``[tracks, len(vocabulary)]``"""
    first: npt.NDArray[np.int64]
    """``[tracks]``: row of a track's first window."""
    windows: npt.NDArray[np.int64]
    """``[tracks]``: number of its windows."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The labels in column order."""
        return tuple(self.origin["labels"])

    def of(self, split: str) -> tuple[Matrix, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """One split: window features ``[W, width]``, track labels ``[tracks, C]`` and each window's track ``[W]``."""
        chosen = np.flatnonzero(self.split == split)
        if not len(chosen):
            raise FeatureError(f"the features hold no track of split {split!r}; embed shards that have one")
        counts = self.windows[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.matrix[self.first[chosen][owner] + within], self.labels[chosen], owner


def open_features(folder: Path) -> Features:
    """Open a feature dump.

    Raises:
        FeatureError: missing, incomplete, damaged, or without labels.
    """
    path = folder / "features.json"
    if not path.exists():
        raise FeatureError(
            f"{path} is missing: no features there, or a dump that did not end; run train/embed.py again"
        )
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        matrix = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        table = pq.read_table(folder / "tracks.parquet")
        if matrix.shape != (origin["windows"], origin["width"]) or table.num_rows != origin["tracks"]:
            raise FeatureError(f"{folder}: the files do not belong together; run train/embed.py again")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise FeatureError(f"{folder} is damaged ({error}); run train/embed.py again") from error
    column = {label: number for number, label in enumerate(origin["labels"])}
    labels = np.zeros((table.num_rows, len(column)), dtype=np.bool_)
    for row, names in enumerate(table["labels"].to_pylist()):
        labels[row, [column[name] for name in names]] = True
    return Features(
        origin=origin,
        matrix=matrix,
        split=np.array(table["split"].to_pylist(), dtype=np.str_),
        labels=labels,
        first=table["first"].to_numpy(),
        windows=table["windows"].to_numpy(),
    )
