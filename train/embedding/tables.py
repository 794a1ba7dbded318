"""The Parquet files of a feature folder: its tracks, and its windows with their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sharding.publish import publish
from train.embedding.windows import Grid

BLOCK_BYTES = 1 << 24
"""Of features that are in memory, and in a row group, at a time."""
BLOCK_ROWS = 1 << 20
"""Likewise where there are no features."""

Matrix = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]


def blocks_of(parts: Iterable[Path], width: int) -> Iterator[Matrix]:
    """The rows ``[n, width]`` of files that hold nothing else, one file after the other."""
    step = max(1, BLOCK_BYTES // (4 * width)) * 4 * width
    for part in parts:
        with part.open("rb") as file:
            while data := file.read(step):
                yield np.frombuffer(data, "<f4").reshape(-1, width)


def write_windows(path: Path, column: str, names: Sequence[str], windows: Counts, grid: Grid) -> None:
    """One row for each window: the name of its recording in ``column``, and ``time``, its start in seconds."""
    total = int(windows.sum())
    sizes = (min(BLOCK_ROWS, total - begin) for begin in range(0, total, BLOCK_ROWS))
    schema = pa.schema([(column, pa.string()), ("time", pa.float64())])
    with publish(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for block in _windows(sizes, names, windows, grid):
            writer.write_table(pa.Table.from_arrays(block, schema=schema))


def write_embeddings(
    path: Path, column: str, names: Sequence[str], windows: Counts, grid: Grid, blocks: Iterable[Matrix], width: int
) -> None:
    """As :func:`write_windows`, with ``embedding``, a list of ``width`` float32, in each row."""
    embedding = pa.list_(pa.float32(), width)
    schema = pa.schema([(column, pa.string()), ("time", pa.float64()), ("embedding", embedding)])
    kept: list[Matrix] = []

    def sizes() -> Iterator[int]:
        for rows in blocks:
            kept[:] = [rows]
            yield len(rows)

    with publish(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for name, time in _windows(sizes(), names, windows, grid):
            values = pa.FixedSizeListArray.from_arrays(pa.array(kept[0].reshape(-1)), type=embedding)
            writer.write_table(pa.Table.from_arrays([name, time, values], schema=schema))


def _windows(sizes: Iterable[int], names: Sequence[str], windows: Counts, grid: Grid) -> Iterator[list[pa.Array]]:
    """Name and time of the windows, in blocks of these sizes."""
    every, first, begin = pa.array(names, pa.string()), np.cumsum(windows) - windows, 0
    for size in sizes:
        position = np.arange(begin, begin + size)
        owner = np.searchsorted(first, position, side="right") - 1  # every recording here has a window
        yield [every.take(pa.array(owner)), pa.array(grid.seconds(position - first[owner]))]
        begin += size
