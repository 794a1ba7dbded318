"""Feature dumps: one memory-mappable matrix of window features, and tables that say whose they are.

<features>/features.npy      float32 [windows, width], track after track, window after window
<features>/windows.parquet   one row per row of it: key (of audio files: path), time (start of the window in seconds)
<features>/features.parquet  instead of these two, with --format parquet: windows.parquet and a column embedding
<features>/tracks.parquet    one row per track: key, split, song_id, labels, first (row of its first window), windows
<features>/features.json     written last: where they come from, label vocabulary, shape
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from clmr.errors import FeatureError, ShardError
from sharding.format import Tracks, label_matrix
from sharding.publish import publish
from train.embedding.tables import Counts, Matrix, blocks_of, write_embeddings, write_windows
from train.embedding.windows import Grid
from train.ranks.launch import Place, barrier

FORMATS = ("npy", "parquet")


class FeatureWriter:
    """Each rank writes its own run of rows to a file of its own; the first rank joins them into one matrix.

    The ranks must see the same folder, and rank r's rows must all come before rank r + 1's.

    Args:
        out: the feature folder; it counts as incomplete from here on.
        place: this process.
        windows: rows of all ranks.
        width: features per row.
    """

    def __init__(self, out: Path, place: Place, *, windows: int, width: int) -> None:
        self.out, self.place, self.shape = out, place, (windows, width)
        if place.first:
            out.mkdir(parents=True, exist_ok=True)
            (out / "features.json").unlink(missing_ok=True)
            needed, free = 2 * windows * width * 4, shutil.disk_usage(out).free
            if needed > free:
                raise FeatureError(f"{out}: {needed:,} bytes are needed while features are written, {free:,} are free")
        barrier()
        self._file = self._part(place.rank).open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part(self.place.rank).unlink(missing_ok=True)

    def _part(self, rank: int) -> Path:
        return self.out / f".features.rank-{rank}.part"

    def write(self, features: Tensor) -> None:
        """Append this rank's next rows, ``[b, width]``."""
        self._file.write(features.float().cpu().numpy().tobytes())

    def close(
        self, tracks: Tracks, windows_per_track: Counts, grid: Grid, origin: dict[str, Any], form: str = "npy"
    ) -> None:
        """Wait for every rank, then give the files their names; ``origin`` goes into features.json."""
        self._file.close()
        barrier()
        if self.place.first:
            parts = [self._part(rank) for rank in range(self.place.world_size)]
            table = tracks.table.select(["key", "split", "song_id", "labels", "frames"])
            write_dump(self.out, parts, table, windows_per_track, grid, self.shape[1], origin, form=form)
        barrier()


def write_dump(
    out: Path,
    parts: Sequence[Path],
    tracks: pa.Table,
    windows: Counts,
    grid: Grid,
    width: int,
    origin: dict[str, Any],
    *,
    form: str = "npy",
    column: str = "key",
) -> None:
    """The files of a dump from rows ``[n, width]``, in parts one behind the other; each file is whole or not there.

    Args:
        out: the feature folder.
        parts: files of nothing but rows, together as many as there are windows.
        tracks: one row per track; needs ``key``.
        windows: of each track.
        grid: where they lie.
        width: features per row.
        origin: goes into features.json.
        form: one of ``FORMATS``.
        column: what the table of windows calls the key.
    """
    names, total = tracks["key"].to_pylist(), int(windows.sum())
    if form == "npy":
        with publish(out / "features.npy") as path, path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (total, width)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                with part.open("rb") as rows:
                    shutil.copyfileobj(rows, file, 1 << 22)
        write_windows(out / "windows.parquet", column, names, windows, grid)
    else:
        write_embeddings(out / "features.parquet", column, names, windows, grid, blocks_of(parts, width), width)
    for stale in ("features.parquet",) if form == "npy" else ("features.npy", "windows.parquet"):
        (out / stale).unlink(missing_ok=True)
    tracks = tracks.append_column("first", pa.array(np.cumsum(windows) - windows, pa.int64()))
    tracks = tracks.append_column("windows", pa.array(windows, pa.int64()))
    with publish(out / "tracks.parquet") as path:
        pq.write_table(tracks, path)
    with publish(out / "features.json") as path:
        layout = {"window_frames": grid.window, "hop_frames": grid.hop, "format": form}
        shape = {"windows": total, "width": width, "tracks": len(tracks)}
        path.write_text(json.dumps({**origin, **layout, **shape}, indent=2) + "\n", encoding="utf-8")


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
        if origin.get("format") == "parquet":
            raise FeatureError(
                f"{folder} holds features.parquet, for other programs; run train/embed.py with --format npy"
            )
        matrix = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        table = pq.read_table(folder / "tracks.parquet")
        features = Features(
            origin=origin,
            matrix=matrix,
            split=np.array(table["split"].to_pylist(), dtype=np.str_),
            labels=label_matrix(table["labels"], origin["labels"]),
            first=table["first"].to_numpy().astype(np.int64, casting="safe"),
            windows=table["windows"].to_numpy().astype(np.int64, casting="safe"),
        )
        first, windows = features.first, features.windows
        if (
            matrix.shape != (origin["windows"], origin["width"])
            or matrix.dtype != np.float32
            or table.num_rows != origin["tracks"]
            or (windows < 1).any()
            or (first < 0).any()
            or (first + windows > len(matrix)).any()
        ):
            raise FeatureError(f"{folder}: the files do not belong together; run train/embed.py again")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ShardError, pa.ArrowException) as error:
        raise FeatureError(f"{folder} is damaged ({' '.join(str(error).split())}); run train/embed.py again") from error
    return features
